"""Whether the arms got the units they were meant to get: the sample ratio, checked at any time."""

import math
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["Phase", "RatioCheck", "check_ratio"]

_CONCENTRATIONS: Final = (100.0, 1000.0, 10_000.0)
"""Of the prior around the expected shares: the first finds 50 % turned 55 % soonest, the last
one percent of a percent late."""
_LARGEST_LOG: Final = 700.0


@dataclass(frozen=True, slots=True)
class Phase:
    """Units counted while the expected shares stayed the same (one step of a ramp)."""

    counts: Mapping[str, int]
    """Units by arm; an arm that is not named had none."""
    shares: Mapping[str, float]
    """What each arm was meant to get, in any unit; all above 0."""


@dataclass(frozen=True, slots=True)
class RatioCheck:
    """What the counts say about the assignment."""

    e_value: float
    """Evidence of other shares than those meant; at most 1 on average if they are right."""
    p_value: float
    """At any time below x with a chance of at most x if the shares are right."""
    alarm: bool
    """The arms cannot be compared: look for what loses or diverts units before trusting it."""
    counts: Mapping[str, int]
    """Units of each arm."""
    expected: Mapping[str, float]
    """What was to be expected of as many units."""


def check_ratio(phases: Sequence[Phase], *, alarm_below: float = 0.001) -> RatioCheck:
    """Test the counts of all phases; look as often as you like.

    The e-value of a phase is the Dirichlet-multinomial likelihood of its counts over that of the
    shares meant, with a prior around these shares: Lindon & Malek, Anytime-valid inference for
    multinomial count data, NeurIPS 2022. Several phases multiply (each starts from 1 given those
    before), and the mean over several concentrations of the prior is an e-value again. Ville: it
    ever reaches 1/x with a chance of at most x.

    A unit counts once, in the phase in which it was assigned. Raises ValueError for shares that are
    not above 0, negative counts, and units of an arm that was meant to get none.
    """
    if not 0 < alarm_below < 1:
        raise ValueError(f"alarm_below is {alarm_below}; it has to lie between 0 and 1")
    logs = [sum(_log_e(one, weight) for one in phases) for weight in _CONCENTRATIONS]
    top = max(logs)
    log_e = top + math.log(sum(math.exp(log - top) for log in logs) / len(logs))
    p_value = min(1.0, math.exp(-log_e))
    counts: dict[str, int] = {}
    expected: dict[str, float] = {}
    for one in phases:
        units, whole = sum(one.counts.values()), sum(one.shares.values())
        for arm, share in one.shares.items():
            counts[arm] = counts.get(arm, 0) + one.counts.get(arm, 0)
            expected[arm] = expected.get(arm, 0.0) + units * share / whole
    return RatioCheck(
        e_value=math.exp(min(log_e, _LARGEST_LOG)),
        p_value=p_value,
        alarm=p_value <= alarm_below,
        counts=counts,
        expected=expected,
    )


def _log_e(phase: Phase, concentration: float) -> float:
    if wrong := [arm for arm, share in phase.shares.items() if not share > 0]:
        raise ValueError(
            f"the share of {wrong[0]!r} is {phase.shares[wrong[0]]}; it must be above 0"
        )
    if wrong := [arm for arm, count in phase.counts.items() if count < 0]:
        raise ValueError(f"the count of {wrong[0]!r} is {phase.counts[wrong[0]]}; 0 is the least")
    if strange := [arm for arm, n in phase.counts.items() if n and arm not in phase.shares]:
        raise ValueError(f"{phase.counts[strange[0]]} units of {strange[0]!r}, which has no share")
    whole, units = sum(phase.shares.values()), sum(phase.counts.values())
    found = math.lgamma(concentration) - math.lgamma(concentration + units)
    for arm, part in phase.shares.items():
        share, count = part / whole, phase.counts.get(arm, 0)
        found += math.lgamma(concentration * share + count) - math.lgamma(concentration * share)
        found -= count * math.log(share)
    return found
