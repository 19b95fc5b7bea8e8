"""Scores of two sides on the same items, drawn with a known difference."""

from collections.abc import Callable
from dataclasses import dataclass
from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["COMMON", "STRESS", "Differences", "binary_sides"]

Numbers = NDArray[np.float64]


def binary_sides(
    chance: np.random.Generator, items: int, share: float, truth: float
) -> tuple[Numbers, Numbers]:
    """0 or 1 of candidate and baseline, who differ on `share` of the items; ahead by `truth`."""
    ahead, behind = (share + truth) / 2, (share - truth) / 2
    where = chance.random(items)
    both = (chance.random(items) < 0.5).astype(float)  # right or wrong together
    ours = np.where(where < ahead, 1.0, np.where(where < ahead + behind, 0.0, both))
    theirs = np.where(where < ahead, 0.0, np.where(where < ahead + behind, 1.0, both))
    return ours, theirs


@dataclass(frozen=True)
class Differences:
    """How a paired difference is distributed: `draw(chance, items, mean)`."""

    name: str
    draw: Callable[[np.random.Generator, int, float], Numbers]


def _normal(chance: np.random.Generator, items: int, mean: float) -> Numbers:
    return chance.normal(mean, size=items)


def _half_level(chance: np.random.Generator, items: int, mean: float) -> Numbers:
    moved = chance.beta(2, 2, items) - chance.beta(2, 2, items) + 2 * mean
    return np.where(chance.random(items) < 0.5, 0.0, moved)


def _skewed(chance: np.random.Generator, items: int, mean: float) -> Numbers:
    """Of ten items six are level, three lose a little (0.1), one gains a lot (0.3).

    With a larger mean more of the four gain.
    """
    small, large = -0.6 * chance.beta(1, 5, items), 0.6 * chance.random(items)
    gain = (0.1 + mean / 0.4) / 0.4
    moved = np.where(chance.random(items) < gain, large, small)
    return np.where(chance.random(items) < 0.6, 0.0, moved)


def _stars(chance: np.random.Generator, items: int, mean: float) -> Numbers:
    moved = chance.choice([-2.0, -1.0, 0.0, 1.0, 2.0], items, p=[0.05, 0.17, 0.56, 0.17, 0.05])
    return moved + (chance.random(items) < mean)


def _heavy(chance: np.random.Generator, items: int, mean: float) -> Numbers:
    return chance.standard_t(3, items) + mean


def _lognormal(chance: np.random.Generator, items: int, mean: float) -> Numbers:
    return chance.lognormal(0, 1, items) - float(np.exp(0.5)) + mean


COMMON: Final = (
    Differences("normal", _normal),
    Differences("F1, half level", _half_level),
    Differences("F1, skewed", _skewed),
    Differences("1 to 5 stars", _stars),
)
STRESS: Final = (Differences("Student's t, 3 d.f.", _heavy), Differences("lognormal", _lognormal))
"""Without bounds: no score of an answer is like that, but a number of seconds can be."""
