"""A unit of an experiment, and what it says about the difference of two arms."""

import math
from dataclasses import dataclass
from typing import Final, NamedTuple

__all__ = ["LEAST_SHARE", "Contrast", "Observation", "Signal"]

LEAST_SHARE: Final = 1e-4
"""Of the traffic of two arms that either has to get."""


@dataclass(frozen=True, slots=True)
class Observation:
    """The score of one unit: of a user, or of a request that names none."""

    treated: bool
    """It was in the arm that is compared; else in the control."""
    score: float
    share: float = 0.5
    """Chance with which a unit of the two arms was put into the arm: its share of the traffic
    over that of both, as it stood when this unit was assigned; between 0.0001 and 0.9999."""


class Signal(NamedTuple):
    """A number whose mean is the difference of two arms, scores being scaled to 0 to 1."""

    value: float
    least: float
    """It could not have been smaller."""
    most: float


class Contrast:
    """Makes a signal of each unit, by what is known of the units before it.

    A unit of score y gives (y - m)/p if it was treated, else (m - y)/(1 - p), with p its chance of
    being treated and m any number that was known before. On average that is the difference of the
    arms exactly, whatever the scores' shape and however p changed: the assignment is random, and
    nothing else is assumed (Horvitz & Thompson, JASA 47 (1952) 663-685; with m, the augmented form
    of Robins, Rotnitzky & Zhao, JASA 89 (1994) 846-866). The variance is least, and that of a
    comparison of two means, for m = (1 - p)·(mean of the arm) + p·(mean of the control).
    """

    def __init__(self, lowest: float = 0.0, highest: float = 1.0) -> None:
        """Scores lie in [lowest, highest]. Raises ValueError unless that is a finite range."""
        if not (math.isfinite(lowest) and math.isfinite(highest) and lowest < highest):
            raise ValueError(f"scores in [{lowest}, {highest}]: two finite bounds are needed")
        self.lowest: Final = lowest
        self.range: Final = highest - lowest
        self.control: Final = _Mean()
        self.treatment: Final = _Mean()

    def signal(self, one: Observation) -> Signal:
        """Take the unit. Raises ValueError for a score or share out of bounds."""
        y, p = (one.score - self.lowest) / self.range, one.share
        if not 0 <= y <= 1:
            bounds = f"[{self.lowest}, {self.lowest + self.range}]"
            raise ValueError(f"score is {one.score}; it has to lie in {bounds}")
        if not LEAST_SHARE <= p <= 1 - LEAST_SHARE:
            raise ValueError(f"share is {p}; allowed is {LEAST_SHARE} to {1 - LEAST_SHARE}")
        m = (1 - p) * self.treatment.guess + p * self.control.guess
        if one.treated:
            self.treatment.add(y, weight=1 - p)
        else:
            self.control.add(y, weight=p)
        return Signal(
            value=(y - m) / p if one.treated else (m - y) / (1 - p),
            least=-max(m / p, (1 - m) / (1 - p)),
            most=max((1 - m) / p, m / (1 - p)),
        )


class _Mean:
    """A weighted mean of values between 0 and 1."""

    def __init__(self) -> None:
        self.count = 0
        self._sum = self._weight = 0.0

    def add(self, value: float, *, weight: float) -> None:
        self.count += 1
        self._sum += weight * value
        self._weight += weight

    @property
    def value(self) -> float | None:
        return self._sum / self._weight if self.count else None

    @property
    def guess(self) -> float:
        """The mean, drawn to the middle while there are few values."""
        return (self._sum + 0.25) / (self._weight + 0.5)
