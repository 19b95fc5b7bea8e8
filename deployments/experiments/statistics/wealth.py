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
_STAKES: Final = 0.9 * 1.5 ** -np.arange(14.0)
"""Shares of what may be staked at most, from 0.9 to 0.005. The best stake is about the difference
over the variance of what is bet on, so the small ones find small differences."""
_RESCALE_ABOVE: Final = 1e100


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
        self._held: Numbers = np.full(
            (len(self.values), 2, len(_STAKES)), 0.5 / len(_STAKES), dtype=np.float64
        )
        self._scale: Numbers = np.zeros(len(self.values))

    def bet(self, value: float, least: float, most: float) -> Numbers:
        """Settle the bets on one value of [least, most]; the logarithm of the wealth, by row."""
        apart = value - self.values
        gains = np.stack([apart / (self.values - least), -apart / (most - self.values)], axis=1)
        self._held *= 1 + gains[:, :, None] * _STAKES
        total: Numbers = self._held.sum(axis=(1, 2))
        if total.max() > _RESCALE_ABOVE or total.min() < 1 / _RESCALE_ABOVE:
            self._held /= total[:, None, None]
            self._scale += np.log(total)
            total = np.ones_like(total)
        found: Numbers = np.log(total) + self._scale
        return found

    def keep(self, first: int, last: int) -> None:
        """Forget all candidates outside the rows `first` to `last`, but row `NULL`."""
        rows = np.r_[NULL, first : last + 1]
        self.values, self._held, self._scale = (
            self.values[rows],
            self._held[rows],
            self._scale[rows],
        )
