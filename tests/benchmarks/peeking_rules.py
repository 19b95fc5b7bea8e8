"""Rules that experiments are also decided by, applied after each unit: all looks at once."""

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = ["Looks", "looks", "mixture_sprt", "t_test"]

Numbers = NDArray[np.float64]


class Looks(NamedTuple):
    """Difference of the means and its standard error after each unit; NaN while there is none."""

    difference: Numbers
    error: Numbers
    freedom: Numbers
    """Degrees of freedom by Welch and Satterthwaite."""


def looks(treated: NDArray[np.bool_], scores: Numbers, least: int = 20) -> Looks:
    """Sum up two arms after each unit, from the first at which both have `least`."""
    found = []
    for mask in (treated, ~treated):
        count = np.cumsum(mask).astype(float)
        first, second = np.cumsum(scores * mask), np.cumsum(scores**2 * mask)
        with np.errstate(invalid="ignore", divide="ignore"):
            mean = first / count
            variance = np.maximum(second - count * mean**2, 0) / (count - 1)
            found.append((count, mean, variance / count))
    (n, mean, square), (n_control, control, square_control) = found
    few = np.minimum(n, n_control) < least
    with np.errstate(invalid="ignore", divide="ignore"):
        both = square + square_control
        freedom = both**2 / (square**2 / (n - 1) + square_control**2 / (n_control - 1))
        error = np.where(few | (both <= 1e-12), np.nan, np.sqrt(both))
    return Looks(mean - control, error, freedom)


def t_test(found: Looks, alpha: float) -> NDArray[np.bool_]:
    """Welch's test, two-sided, as if each look were the only one."""
    from scipy import stats

    p_value = 2 * stats.t.sf(np.abs(found.difference / found.error), found.freedom)
    return np.asarray(p_value < alpha)


def mixture_sprt(found: Looks, alpha: float, spread: float = 0.1) -> NDArray[np.bool_]:
    """Mixture sequential probability ratio test with a normal prior on the difference.

    Johari, Koomen, Pekelis & Walsh, Always valid inference, Operations Research 70 (2022)
    1806-1821; the variance is put in as estimated, so it holds for many units only.
    """
    ratio = (spread / found.error) ** 2
    log = (found.difference / found.error) ** 2 * ratio / (1 + ratio) / 2 - np.log1p(ratio) / 2
    return np.asarray(log >= -np.log(alpha))
