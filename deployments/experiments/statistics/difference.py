"""How much better an arm is than the control, known at any time: a confidence sequence."""

import math
import sys
from collections.abc import Iterable
from dataclasses import dataclass
from typing import Final

import numpy as np

from deployments.experiments.statistics.contrast import Contrast, Observation
from deployments.experiments.statistics.wealth import NULL, Numbers, Wealth, candidates

__all__ = ["Difference", "DifferenceSequence", "alpha_of_each"]

_NEXT: Final = sys.float_info.epsilon


@dataclass(frozen=True, slots=True)
class Difference:
    """What is known of an arm minus the control, on the scale of the score."""

    estimate: float | None
    """Difference of the means below; None until both arms have a unit."""
    low: float
    high: float
    """They hold the true difference at all times at once with a chance of 1 - alpha."""
    p_value: float
    """Of no difference; at any time it is below x with a chance of at most x if there is none."""
    n_control: int
    n_treatment: int
    mean_control: float | None
    mean_treatment: float | None
    """Means over units. While shares change, a unit weighs as much as the share of the other arm
    was when it was assigned, so that both arms' means are over the same mix of times (overlap
    weights: Li, Morgan & Zaslavsky, JASA 113 (2018) 390-400)."""


def alpha_of_each(alpha: float, arms: int) -> float:
    """What each of `arms` (the control not counted) may err if all together may err `alpha`.

    Bonferroni: shared equally. Raises ValueError without an arm.
    """
    if arms < 1:
        raise ValueError(f"arms is {arms}; there is at least one beside the control")
    return alpha / arms


class DifferenceSequence:
    """Confidence sequence of the difference of two arms' mean scores; look as often as you like.

    Rests on nothing but the random assignment and the score's bounds: `Contrast` makes a number of
    each unit whose mean is the difference, `Wealth` bets on it. What no bettor ruled out by winning
    1/alpha is the interval; what was ruled out once stays out.

    What it asks of the caller:

    - One observation for each unit. Later scores of a user tell of an assignment already known;
      with them the errors promised here do not hold.
    - Observations in an order that does not depend on the arm, such as that of assignment: a unit
      whose score is still to come has to be waited for or left out by a rule that is the same for
      both arms (a time limit, say).
    - Units without a score (nobody rated) are no observations. The difference is then one among
      units that have scores. Whether having one depends on the arm is seen from the sample ratio
      of scored units (`ratio.check_ratio`).

    An effect that changes with time: the test of «no better at any time» stays valid, the interval
    is then about no fixed number. The state is bounded: candidates on a grid, of which those ruled
    out are dropped. The same observations in the same order give the same state, in whatever
    batches they come.
    """

    def __init__(self, alpha: float, *, lowest: float = 0.0, highest: float = 1.0) -> None:
        """Raises ValueError if alpha is not between 0 and 1 or the score has no finite range."""
        if not 0 < alpha < 1:
            raise ValueError(f"alpha is {alpha}; it has to lie between 0 and 1")
        self._bar: Final = -math.log(alpha)
        self._contrast: Final = Contrast(lowest, highest)
        self._wealth: Final = Wealth(candidates())
        self._low, self._high = -1.0, 1.0
        self._null_peak = 0.0

    def update(self, observations: Iterable[Observation]) -> None:
        """Take further units, in order. Raises ValueError for a score or share out of bounds."""
        for one in observations:
            self._narrow(self._wealth.bet(*self._contrast.signal(one)))

    def _narrow(self, logs: Numbers) -> None:
        """Rule out what has lost; `logs` is convex in the candidate, so an interval is left."""
        self._null_peak = max(self._null_peak, float(logs[NULL]))
        inside = np.flatnonzero(logs[1:] < self._bar) + 1
        if not len(inside):
            return  # narrower than the grid is fine: the interval stays what it was
        first, last = int(inside[0]), int(inside[-1])
        values = self._wealth.values
        # What is ruled out is not in the interval, which begins after it and ends before it.
        if first > 1:
            self._low = max(self._low, float(values[first - 1]) + _NEXT)
        if last < len(values) - 1:
            self._high = min(self._high, float(values[last + 1]) - _NEXT)
        if last > first:
            # A convex function lies above the line through two of its points, outside of them.
            self._low = max(self._low, self._crossing(logs, first, first + 1))
            self._high = min(self._high, self._crossing(logs, last, last - 1))
        if first > 1 or last < len(values) - 1:
            self._wealth.keep(first, last)

    def _crossing(self, logs: Numbers, end: int, inner: int) -> float:
        """Where the line through two rows reaches the bar, beyond `end`; far off where it falls."""
        values = self._wealth.values
        outward = float(values[end] - values[inner])
        slope = float(logs[end] - logs[inner]) / outward
        if slope * outward <= 0:
            return math.copysign(math.inf, outward)
        return float(values[end]) + (self._bar - float(logs[end])) / slope

    @property
    def estimate(self) -> float | None:
        """As `Difference.estimate`."""
        control, treatment = self.mean_control, self.mean_treatment
        return None if control is None or treatment is None else treatment - control

    @property
    def low(self) -> float:
        """As `Difference.low`."""
        return self._low * self._contrast.range

    @property
    def high(self) -> float:
        """As `Difference.high`."""
        return self._high * self._contrast.range

    @property
    def p_value(self) -> float:
        """As `Difference.p_value`: one over the most that was won by betting against 0."""
        return math.exp(-self._null_peak)

    @property
    def n_control(self) -> int:
        """Units of the control."""
        return self._contrast.control.count

    @property
    def n_treatment(self) -> int:
        """Units of the arm."""
        return self._contrast.treatment.count

    @property
    def mean_control(self) -> float | None:
        """As `Difference.mean_control`."""
        return self._on_scale(self._contrast.control.value)

    @property
    def mean_treatment(self) -> float | None:
        """As `Difference.mean_treatment`."""
        return self._on_scale(self._contrast.treatment.value)

    def _on_scale(self, mean: float | None) -> float | None:
        return None if mean is None else self._contrast.lowest + mean * self._contrast.range

    @property
    def difference(self) -> Difference:
        """All of it."""
        return Difference(
            estimate=self.estimate,
            low=self.low,
            high=self.high,
            p_value=self.p_value,
            n_control=self.n_control,
            n_treatment=self.n_treatment,
            mean_control=self.mean_control,
            mean_treatment=self.mean_treatment,
        )
