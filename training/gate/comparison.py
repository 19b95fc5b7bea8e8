"""Two sides on the same items: is the difference real, how large, and what could have been seen.

All functions are pure; the bootstrap is seeded. Binary scores are compared by McNemar's exact test
(McNemar 1947), which is the binomial test of the discordant pairs; others by Wilcoxon's signed-rank
test (1945) on the pairs that differ. `training.gate.intervals` has the intervals.
"""

import math
from collections.abc import Sequence
from statistics import NormalDist, fmean
from typing import TYPE_CHECKING, Final, Literal

from training.gate.evidence import Comparison, Paired, TestName
from training.gate.intervals import difference_interval
from training.gate.metrics import Metric

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

__all__ = [
    "compare",
    "detectable_difference",
    "differences_of",
    "one_sided_worse",
    "paired",
    "two_sided",
    "worse_given_behind",
]

POWER: Final = 0.8
_LEVEL: Final = 1e-12
"""Spread from which a mean can be tested."""
_DISTINCT: Final = 200
"""Values that stand for the differences where what can be seen is worked out, at most."""
_HALVINGS: Final = 40
_STEEPEST: Final = 30.0

Direction = Literal["better", "worse", "level"]


def compare(
    candidate: Sequence[float],
    champion: Sequence[float],
    metric: Metric,
    *,
    alpha: float,
    resamples: int,
    seed: int,
) -> Comparison:
    """Compare scores, pair by pair. Raises ValueError for none, or for unequal numbers."""
    differences = differences_of(candidate, champion, metric.resolution)
    found = paired(differences, metric.binary, alpha=alpha, resamples=resamples, seed=seed)
    return Comparison(
        **dict(found),
        metric=metric.name,
        unit=metric.unit,
        candidate=fmean(candidate),
        champion=fmean(champion),
        candidate_ahead=sum(d > 0 for d in differences),
        champion_ahead=sum(d < 0 for d in differences),
    )


def paired(
    differences: Sequence[float],
    binary: bool,
    *,
    alpha: float,
    resamples: int,
    seed: int,
    tests: int = 1,
) -> Paired:
    """Test the differences of one metric. Raises ValueError for none.

    `tests` is how many metrics share `alpha`: what can be seen is stated at its share of it.
    """
    if not differences:
        raise ValueError("there is nothing to compare")
    p_value, direction = two_sided(differences, binary)
    detectable = detectable_difference(differences, binary, alpha / tests)
    test: TestName = "McNemar, exact" if binary else "Wilcoxon signed-rank"
    return Paired(
        test=test,
        items=len(differences),
        difference=fmean(differences),
        interval=difference_interval(
            differences, binary, alpha=alpha, resamples=resamples, seed=seed
        ),
        p_value=p_value,
        mean_p_value=p_value if binary else _mean_p_value(differences, p_value),
        direction=direction,
        detectable=detectable,
        power=_in_words(differences, detectable, binary),
    )


def differences_of(
    candidate: Sequence[float], champion: Sequence[float], resolution: float
) -> list[float]:
    """Candidate minus champion; 0 where it is no larger than `resolution`."""
    pairs = zip(candidate, champion, strict=True)
    return [0.0 if abs(a - b) <= resolution else a - b for a, b in pairs]


def two_sided(differences: Sequence[float], binary: bool) -> tuple[float, Direction]:
    """The p-value of «no difference», and which way the test leans. Without a difference 1."""
    from scipy import stats

    ahead, behind = sum(d > 0 for d in differences), sum(d < 0 for d in differences)
    if not ahead + behind:
        return 1.0, "level"
    if binary:
        return float(stats.binomtest(ahead, ahead + behind).pvalue), _direction(ahead - behind)
    moved = [d for d in differences if d]
    ranks = stats.rankdata([abs(d) for d in moved])
    lean = sum(math.copysign(rank, d) for rank, d in zip(ranks, moved, strict=True))
    return float(stats.wilcoxon(moved).pvalue), _direction(lean)


def _mean_p_value(differences: Sequence[float], without_spread: float) -> float:
    """Student's paired test of a mean of 0; `without_spread` where all differences are equal."""
    from scipy import stats

    if len(differences) < 2 or max(differences) - min(differences) <= _LEVEL:
        return without_spread
    return float(stats.ttest_1samp(differences, 0.0).pvalue)


def one_sided_worse(differences: Sequence[float], binary: bool) -> float:
    """The p-value of «not worse» against «worse»; 1 without a difference."""
    from scipy import stats

    moved = [d for d in differences if d]
    if not moved:
        return 1.0
    if binary:
        ahead = sum(d > 0 for d in moved)
        return float(stats.binomtest(ahead, len(moved), alternative="less").pvalue)
    return float(stats.wilcoxon(moved, alternative="less").pvalue)


def worse_given_behind(ahead: int, behind: int) -> float | None:
    """The p-value of «not worse» against «worse», given that it is behind on more items than ahead.

    None where it is not. The exact sign test of the items that differ, conditional on P(X ≤ x) ≤ ½:
    valid however much better the candidate is elsewhere, so that what it does not lose takes no
    part in a correction for many tests (Zhao, Small and Su 2019, on uniformly conservative tests).
    """
    from scipy import stats

    if ahead >= behind:
        return None
    moved = ahead + behind
    below = stats.binom(moved, 0.5).cdf
    return float(below(ahead) / below((moved - 1) // 2))


def detectable_difference(differences: Sequence[float], binary: bool, alpha: float) -> float | None:
    """The smallest true mean difference that this many such items show with probability 0.8.

    Binary: Connor's formula (Biometrics 1987) solved for the difference, with the share of
    discordant pairs that was seen, and at least the one from which the exact test can reject at
    all. Others: what both Wilcoxon's test (Noether, JASA 1987) and the mean's show the harder way,
    where the differences that were seen become more or less frequent by exponential tilting (Efron,
    Canadian Journal of Statistics 9, 1981), so that stars stay stars. None where even a difference
    on every pair would not show.
    """
    count = len(differences)
    for_alpha, for_power = NormalDist().inv_cdf(1 - alpha / 2), NormalDist().inv_cdf(POWER)
    if not binary:
        return _detectable_mean(differences, for_alpha + for_power) if count > 1 else None
    least = math.ceil(math.log2(2 / alpha))  # discordant pairs, all one way, with p below alpha
    share = max(sum(d != 0 for d in differences), least) / count

    def lacks(difference: float) -> bool:
        noise = for_alpha * math.sqrt(share) + for_power * math.sqrt(share - difference**2)
        return difference * math.sqrt(count) < noise

    low, high = 0.0, min(share, math.sqrt(share))
    if share > 1 or lacks(high):
        return None
    for _ in range(50):
        middle = (low + high) / 2
        low, high = (middle, high) if lacks(middle) else (low, middle)
    return high


def _detectable_mean(differences: Sequence[float], reach: float) -> float | None:
    import numpy as np

    values, counts = np.unique(differences, return_counts=True)
    if values[-1] - values[0] <= _LEVEL:
        return 0.0
    if len(values) > _DISTINCT:
        values = np.quantile(differences, (np.arange(_DISTINCT) + 0.5) / _DISTINCT)
        counts = np.ones_like(counts, shape=_DISTINCT)
    weights, items = counts / counts.sum(), len(differences)
    ways = (_tilted_mean(side * values, weights, items, reach) for side in (1, -1))
    return max((found for found in ways if found is not None), default=None)


def _tilted_mean(
    values: "NDArray[np.float64]", weights: "NDArray[np.float64]", items: int, reach: float
) -> float | None:
    """The mean at which both tests just show it; None where no weights do."""
    import numpy as np

    moved = values != 0
    leans = np.sign(values[moved][:, None] + values[moved][None, :]) / 2

    def tilted(slope: float) -> "NDArray[np.float64]":
        found = weights * np.exp(slope * values - (slope * values).max())
        return np.asarray(found / found.sum())

    def shows(slope: float) -> bool:
        chances = tilted(slope)
        mean = float(chances @ values)
        spread = math.sqrt(max(0.0, float(chances @ values**2) - mean**2))
        some = chances[moved]
        lean = float(some @ leans @ some) / float(some.sum()) ** 1.5
        return math.sqrt(items) * mean >= reach * spread and math.sqrt(3 * items) * lean >= reach

    steepest = _STEEPEST / float(np.abs(values).max())
    if values.max() <= 0 or not shows(steepest):
        return None
    low, high = -steepest, steepest
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        low, high = (low, middle) if shows(middle) else (middle, high)
    return float(tilted(high) @ values)


def _in_words(differences: Sequence[float], detectable: float | None, binary: bool) -> str:
    count = len(differences)
    moved = sum(d != 0 for d in differences) / count
    items = f"With {count} items, of which {moved:.1%} came out differently,"
    if detectable is None:
        return f"{items} hardly any difference could have been shown: more items are needed."
    if detectable == 0:
        return f"{items} there is no spread from which to say what could have been shown."
    size = f"{100 * detectable:.1f} points" if binary else f"{detectable:.4f}"
    return f"{items} a true difference of {size} or more is shown in four of five runs."


def _direction(lean: float) -> Direction:
    return "better" if lean > 0 else "worse" if lean < 0 else "level"
