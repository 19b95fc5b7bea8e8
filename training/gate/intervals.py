"""Confidence intervals: of a mean by the bootstrap, of shares of 0 and 1 by score tests.

On 0 and 1 the bootstrap covers too little where few items differ, and says nothing where none does;
score intervals keep their level there. On other scores BCa covers too little where most items do
not differ or tails are heavy, Student's t interval where the differences are skewed; what either
holds is kept. `tests.benchmarks.evaluation_statistics` measures all of them.
"""

import math
from collections.abc import Callable, Sequence
from statistics import NormalDist, fmean, stdev
from typing import Final, Literal

from training.gate.evidence import Interval

__all__ = [
    "difference_interval",
    "interval_of",
    "mean_interval",
    "score_interval",
    "share_interval",
    "with_students",
]

_LEVEL: Final = 1e-12
"""Spread from which resampling shows anything."""
_ENTRIES: Final = 2_000_000
"""Numbers that the bootstrap holds at once."""
_HALVINGS: Final = 60


def difference_interval(
    differences: Sequence[float], binary: bool, *, alpha: float, resamples: int, seed: int
) -> Interval | None:
    """Interval of the mean of paired differences; None under two items.

    Differences of 0 and 1 take Tango's score interval.
    """
    if not binary:
        return mean_interval(differences, alpha=alpha, resamples=resamples, seed=seed)
    if len(differences) < 2:
        return None
    ahead, behind = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    return score_interval(ahead, behind, len(differences), alpha=alpha)


def score_interval(ahead: int, behind: int, items: int, *, alpha: float) -> Interval:
    """Interval of a difference of two shares over the same items, from the discordant pairs.

    Tango, Equivalence test and confidence interval for the difference in proportions for the
    paired-sample design, Statistics in Medicine 17 (1998) 891-908. It holds 0 where McNemar's
    test without correction does not reject.
    """
    bound = NormalDist().inv_cdf(1 - alpha / 2)
    middle = (ahead - behind) / items

    def statistic(difference: float) -> float:
        apart = ahead - behind - items * difference
        variance = items * (
            2 * _behind(ahead, behind, items, difference) + difference * (1 - difference)
        )
        return apart / math.sqrt(variance) if variance > 0 else math.copysign(math.inf, apart)

    return Interval(
        low=_crossing(-1.0, middle, lambda at: statistic(at) > bound),
        high=_crossing(middle, 1.0, lambda at: statistic(at) >= -bound),
        method="Tango",
    )


def _behind(ahead: int, behind: int, items: int, difference: float) -> float:
    """Likeliest share of pairs in which the first side is behind, if the difference is that."""
    linear = -ahead - behind + (2 * items - ahead + behind) * difference
    constant = -behind * difference * (1 - difference)
    root = math.sqrt(max(0.0, linear**2 - 8 * items * constant))
    return max(0.0, (root - linear) / (4 * items))


def _crossing(low: float, high: float, before: Callable[[float], bool]) -> float:
    """The place between `low` and `high` up to which `before` holds."""
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (middle, high) if before(middle) else (low, middle)
    return (low + high) / 2


def share_interval(passed: int, items: int, *, alpha: float) -> Interval | None:
    """Wilson's score interval (JASA 1927) of a share; None without items."""
    if not items:
        return None
    from scipy import stats

    found = stats.binomtest(passed, items).proportion_ci(1 - alpha, method="wilson")
    return Interval(low=float(found.low), high=float(found.high), method="Wilson")


def mean_interval(
    values: Sequence[float], *, alpha: float, resamples: int, seed: int
) -> Interval | None:
    """BCa interval of a mean, nowhere narrower than Student's; None under two items."""
    return with_students(
        interval_of(values, alpha=alpha, resamples=resamples, seed=seed), values, alpha=alpha
    )


def with_students(
    found: Interval | None, values: Sequence[float], *, alpha: float
) -> Interval | None:
    """The bootstrap's interval, stretched to what Student's t interval holds as well."""
    if found is None or found.method == "degenerate":
        return found
    from scipy import stats

    count, middle = len(values), fmean(values)
    reach = float(stats.t.ppf(1 - alpha / 2, count - 1)) * stdev(values) / math.sqrt(count)
    return Interval(
        low=min(found.low, middle - reach), high=max(found.high, middle + reach), method="BCa + t"
    )


def interval_of(
    values: Sequence[float], *, alpha: float, resamples: int, seed: int
) -> Interval | None:
    """BCa interval (Efron 1987) of the mean; None under two items. Seeded.

    The percentile interval stands in where BCa's bias correction is infinite.
    """
    if len(values) < 2:
        return None
    if max(values) - min(values) <= _LEVEL:
        middle = fmean(values)
        return Interval(low=middle, high=middle, method="degenerate")
    methods: tuple[Literal["BCa", "percentile"], ...] = ("BCa", "percentile")
    for method in methods:
        low, high = _bootstrap(values, method, alpha, resamples, seed)
        if math.isfinite(low) and math.isfinite(high):
            return Interval(low=low, high=high, method=method)
    return None


def _bootstrap(
    values: Sequence[float], method: str, alpha: float, resamples: int, seed: int
) -> tuple[float, float]:
    import warnings

    import numpy as np
    from scipy import stats

    with warnings.catch_warnings():
        warnings.simplefilter("ignore", stats.DegenerateDataWarning)
        found = stats.bootstrap(
            (np.asarray(values, dtype=float),),
            np.mean,
            vectorized=True,
            n_resamples=resamples,
            batch=max(1, _ENTRIES // len(values)),
            confidence_level=1 - alpha,
            method=method,
            rng=np.random.default_rng(seed),
        ).confidence_interval
    return float(found.low), float(found.high)
