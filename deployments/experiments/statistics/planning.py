"""About how many units an experiment will take."""

import math
from typing import Final

__all__ = ["units_to_decision"]

_SEARCH: Final = 1.7
"""Nats that it costs not to know the effect: what the mixture of stakes loses to the best one.
Fitted by `tests.benchmarks.anytime_statistics`."""


def units_to_decision(effect: float, deviation: float, *, alpha: float, share: float = 0.5) -> int:
    """Units of an arm and the control, on average, until a difference of `effect` is certain.

    `deviation` is the score's standard deviation within an arm (0.5 at most where scores are 0 to
    1), `share` the arm's share of both. Each unit is worth effect²·p·(1 - p)/(2·deviation²) nats of
    evidence, and ln(2/alpha) and a bit are needed. Raises ValueError for numbers out of bounds.
    """
    if not effect != 0 or not deviation > 0:
        raise ValueError(f"effect {effect}, deviation {deviation}: neither may be 0")
    if not 0 < share < 1 or not 0 < alpha < 1:
        raise ValueError(f"share {share}, alpha {alpha}: both lie between 0 and 1")
    each = effect**2 * share * (1 - share) / (2 * deviation**2)
    return math.ceil((math.log(2 / alpha) + _SEARCH) / each)
