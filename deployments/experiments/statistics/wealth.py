"""The wealth of those who bet against a value of the difference: evidence that it is wrong."""

from typing import Final

import numpy as np
from numpy.typing import NDArray

__all__ = ["NULL", "Wealth", "candidates"]

Numbers = NDArray[np.float64]

NULL: Final = 0
"""The row of `Wealth` that bets against no difference."""
_FINEST: Final = 0.001
"""Distance of the candidates next to 0, where most differences lie."""
_GROWTH: Final = 1.02
_STAKES: Final[Numbers] = np.array([0.9 * 1.7**-step for step in range(10)])
"""Shares of what may be staked at most, from 0.9 to 0.008. The best stake is about the difference
over the variance of what is bet on, so the small ones find small differences."""
_ALL: Final[Numbers] = np.ones(len(_STAKES))
_RESCALE_AFTER: Final = 16
"""Bets; one multiplies a wealth by less than a million, so floats never overflow in between."""


def candidates() -> Numbers:
    """Differences between -1 and 1, ascending, 0 among them, denser the nearer they are to it."""
    steps = _FINEST * np.cumsum(_GROWTH ** np.arange(200.0))
    upper = steps[steps < 1]
    return np.concatenate([-upper[::-1], [0.0], upper])


class Wealth:
    """What a bet of 1 against each candidate has grown to; row `NULL` bets against 0.

    Against the candidate d, a gambler with the stake f multiplies the wealth by 1 + f·(z - d)/c by
    each z, where c is the most that z can fall below d: wealth never gets below 0, and where d is
    the mean of z it does not grow on average (it is a martingale). Half of the gamblers bet that z
    is larger on average, half that it is smaller, each with a fixed stake; all of them together
    hold a mixture, which is a martingale as well. Ville (1939): it ever reaches 1/alpha with a
    chance of at most alpha. Waudby-Smith & Ramdas, Estimating means of bounded random variables by
    betting, JRSS B 86 (2024) 1-27, from whom the hedged form is (§4.4); stakes are mixed rather
    than predicted, which needs no estimate of the variance.
    """

    def __init__(self, values: Numbers) -> None:
        self.values: Numbers = np.concatenate([[0.0], values])
        """The candidates, after that of row `NULL`; those ruled out are gone."""
        shape = (len(self.values), len(_STAKES))
        self._larger: Numbers = np.full(shape, 0.5 / len(_STAKES))
        self._smaller: Numbers = np.full(shape, 0.5 / len(_STAKES))
        self._scale: Numbers = np.zeros(len(self.values))
        self._bets = 0

    def bet(self, value: float, least: float, most: float) -> Numbers:
        """Settle the bets on one value of [least, most]; the logarithm of the wealth, by row."""
        apart = value - self.values
        self._larger *= 1 + (apart / (self.values - least))[:, None] * _STAKES
        self._smaller *= 1 - (apart / (most - self.values))[:, None] * _STAKES
        total: Numbers = self._larger @ _ALL + self._smaller @ _ALL
        found: Numbers = np.log(total) + self._scale
        self._bets += 1
        if self._bets % _RESCALE_AFTER == 0:
            self._larger /= total[:, None]
            self._smaller /= total[:, None]
            self._scale = found
        return found

    def keep(self, first: int, last: int) -> None:
        """Forget all candidates outside the rows `first` to `last`, but row `NULL`."""
        rows = np.r_[NULL, first : last + 1]
        self.values, self._scale = self.values[rows], self._scale[rows]
        self._larger, self._smaller = self._larger[rows], self._smaller[rows]
