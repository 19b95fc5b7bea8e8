"""Units as they come to an experiment: which arm each is put into, and its score."""

from collections.abc import Callable
from functools import partial
from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["EFFECTS", "NULLS", "Case", "Stream"]

Numbers = NDArray[np.float64]
Draw = Callable[[np.random.Generator, NDArray[np.int64], float], Numbers]
"""Scores of units by the arm that each is in, where the arms differ from the control by that."""

_HALVES: Final = (0.5, 0.5)
_RATED: Final = 0.2
_RAMP: Final = ((0.9, 0.1), (0.7, 0.3), (0.5, 0.5))


class Stream(NamedTuple):
    """Units in the order of their assignment. Those without a score are left out."""

    arms: NDArray[np.int64]
    """0: the control."""
    scores: Numbers
    shares: Numbers
    """Chance of each arm at that time, a row for each unit."""


class Case(NamedTuple):
    """One kind of score and of split."""

    name: str
    score: Draw
    effect: float = 0.0
    """The arms' mean minus the control's."""
    deviation: float = 0.0
    """Of the scores within an arm; told where there is an effect."""
    steps: tuple[tuple[float, ...], ...] = (_HALVES,)
    """Shares of the arms, each for the same number of units."""
    seen: float = 1.0
    """Share of the units that have a score."""

    @property
    def arms(self) -> int:
        """Without the control."""
        return len(self.steps[0]) - 1

    def stream(self, chance: np.random.Generator, count: int) -> Stream:
        """Draw units until `count` of them have a score (about, where not all have)."""
        units = round(count / self.seen)
        step = np.arange(units) * len(self.steps) // units
        shares = np.array(self.steps)[step]
        arms = (chance.random(units)[:, None] >= np.cumsum(shares, axis=1)[:, :-1]).sum(axis=1)
        scores = self.score(chance, arms, self.effect)
        kept = chance.random(units) < self.seen
        return Stream(arms[kept], scores[kept], shares[kept])


def _zero_or_one(
    chance: np.random.Generator, arms: NDArray[np.int64], effect: float, *, rate: float
) -> Numbers:
    return (chance.random(len(arms)) < rate + effect * (arms > 0)).astype(float)


def _binary(rate: float) -> Draw:
    return partial(_zero_or_one, rate=rate)


def _rising(chance: np.random.Generator, arms: NDArray[np.int64], effect: float) -> Numbers:
    """A rate that rises from 0.3 to 0.7 for everybody while the experiment runs."""
    rate = np.linspace(0.3, 0.7, len(arms)) + effect * (arms > 0)
    return (chance.random(len(arms)) < rate).astype(float)


def _skewed(chance: np.random.Generator, arms: NDArray[np.int64], effect: float) -> Numbers:
    """Beta(1, 9): a mean of 0.1, a deviation of 0.09, a long tail."""
    return np.clip(chance.beta(1, 9, len(arms)) + effect * (arms > 0), 0, 1)


def _two_ended(chance: np.random.Generator, arms: NDArray[np.int64], effect: float) -> Numbers:
    """Beta(0.5, 0.5), moved: scores of a judge who likes extremes."""
    return 0.1 + 0.8 * chance.beta(0.5, 0.5, len(arms)) + effect * (arms > 0)


_SPREAD_SKEWED: Final = float(np.sqrt(9 / (10 * 10 * 11)))
_SPREAD_TWO_ENDED: Final = 0.8 * float(np.sqrt(0.125))

NULLS: Final = (
    *(Case(f"0 or 1, rate {rate}", _binary(rate)) for rate in (0.05, 0.3, 0.5, 0.9)),
    Case("thumbs, of 20 % of the units", _binary(0.8), seen=_RATED),
    Case("Beta(1, 9)", _skewed),
    Case("Beta(0.5, 0.5)", _two_ended),
    Case("0 or 1, rate 0.3, 90/10", _binary(0.3), steps=((0.9, 0.1),)),
    Case("0 or 1, rate rising, ramp 10/30/50 %", _rising, steps=_RAMP),
    Case("0 or 1, rate 0.5, 3 arms", _binary(0.5), steps=((1 / 3, 1 / 3, 1 / 3),)),
)


def _shift(rate: float, effect: float) -> Case:
    """0 or 1, with a rate that the arm moves; the deviation is over both arms."""
    spread = float(np.sqrt(np.mean([one * (1 - one) for one in (rate, rate + effect)])))
    name = f"0 or 1, {rate:g} and {rate + effect:g}"
    return Case(name, _binary(rate), effect, spread)


EFFECTS: Final = (
    _shift(0.5, 0.1),
    _shift(0.5, 0.05),
    _shift(0.05, 0.05),
    _shift(0.9, -0.1),
    Case("Beta(1, 9), d = 0.2", _skewed, 0.2 * _SPREAD_SKEWED, _SPREAD_SKEWED),
    Case("Beta(0.5, 0.5), d = 0.2", _two_ended, 0.2 * _SPREAD_TWO_ENDED, _SPREAD_TWO_ENDED),
    _shift(0.5, 0.1)._replace(name="0 or 1, 0.5 and 0.6, 90/10", steps=((0.9, 0.1),)),
)
