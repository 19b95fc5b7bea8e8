"""Two runs on the same items: is the difference real, how large, where, and what could be seen."""

from deployments.evaluation.comparison.compare import compare_runs
from deployments.evaluation.comparison.report import ComparisonReport
from deployments.evaluation.comparison.scored import ScoredGrader, ScoredItem, ScoredRun
from deployments.evaluation.comparison.scores import ComparisonError
from deployments.evaluation.comparison.settings import ComparisonSettings

__all__ = [
    "ComparisonError",
    "ComparisonReport",
    "ComparisonSettings",
    "ScoredGrader",
    "ScoredItem",
    "ScoredRun",
    "compare_runs",
]
