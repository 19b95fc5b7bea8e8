"""How others decide that a candidate is better, restated for the benchmark's table.

MLflow: `mlflow.genai.compare_evaluations` with `ComparisonResult.assert_improved` (experimental
since 3.17 and 3.18; documented with its source at https://mlflow.org/docs/latest/api_reference/
python_api/mlflow.genai.html and …/_modules/mlflow/genai/evaluation/comparison/comparison.html).
Its documentation states the rule, which is restated here without MLflow: McNemar's test for
pass/fail, exact under 25 discordant pairs and else the chi-square with continuity correction;
Wilcoxon's signed-rank test for numbers; a percentile bootstrap interval; no correction over
scorers. A scorer has improved where p is below alpha and the mean moved the better way.
"""

from typing import Final, NamedTuple

import numpy as np
from numpy.typing import NDArray
from scipy import stats

__all__ = ["SidesOf", "mlflow_improved", "percentile_interval", "unpaired_improved"]

_EXACT_BELOW: Final = 25


class SidesOf(NamedTuple):
    """One metric's scores on the same items."""

    candidate: NDArray[np.float64]
    baseline: NDArray[np.float64]
    binary: bool
    higher_is_better: bool = True


def mlflow_improved(sides: SidesOf, alpha: float) -> bool:
    """Whether `assert_improved` passes for this scorer."""
    differences = sides.candidate - sides.baseline
    gain = float(differences.mean()) * (1 if sides.higher_is_better else -1)
    return gain > 0 and _mlflow_p(differences, sides.binary) < alpha


def _mlflow_p(differences: NDArray[np.float64], binary: bool) -> float:
    ahead, behind = int((differences > 0).sum()), int((differences < 0).sum())
    if not ahead + behind:
        return 1.0
    if not binary:
        return float(stats.wilcoxon(differences).pvalue)
    if ahead + behind < _EXACT_BELOW:
        return float(stats.binomtest(ahead, ahead + behind).pvalue)
    return float(stats.chi2.sf((abs(ahead - behind) - 1) ** 2 / (ahead + behind), df=1))


def percentile_interval(
    differences: NDArray[np.float64], alpha: float, resamples: int, chance: np.random.Generator
) -> tuple[float, float]:
    """MLflow's interval: percentiles of the resampled means."""
    places = chance.integers(0, len(differences), size=(resamples, len(differences)))
    low, high = np.quantile(differences[places].mean(axis=1), [alpha / 2, 1 - alpha / 2])
    return float(low), float(high)


def unpaired_improved(sides: SidesOf, alpha: float) -> bool:
    """Student's t-test of two samples, as if the items were not the same: the naive way."""
    gain = float((sides.candidate - sides.baseline).mean()) * (1 if sides.higher_is_better else -1)
    return gain > 0 and float(stats.ttest_ind(sides.candidate, sides.baseline).pvalue) < alpha
