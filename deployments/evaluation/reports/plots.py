"""The plots of a run's and of a comparison's page."""

from collections.abc import Sequence
from typing import Final

from deployments.evaluation.comparison.report import MetricComparison
from deployments.evaluation.reports.run import AnswerTimes, GraderReport
from training.gate.charts import (
    BETTER,
    LEVEL,
    WORSE,
    Mark,
    bars_chart,
    forest_chart,
    histogram_chart,
    short_name,
)

__all__ = ["means_plot", "metric_plot", "scores_plot", "slices_plot", "times_plot"]

_COLOURS: Final = {"better": BETTER, "worse": WORSE}


def means_plot(graders: Sequence[GraderReport]) -> str | None:
    """Means with their intervals, of the graders that score from 0 to 1; None where none does."""
    marks = [
        Mark(f"{short_name(one.name)} ({one.scored})", one.mean, one.interval, LEVEL)
        for one in graders
        if one.mean is not None
        and one.minimum is not None
        and one.maximum is not None
        and one.minimum >= 0
        and one.maximum <= 1
    ]
    return forest_chart(marks, "mean", zero=False) if marks else None


def scores_plot(grader: GraderReport) -> str | None:
    """How the scores are spread; None without scores."""
    bins = [(one.low, one.high, one.count) for one in grader.histogram]
    ticks = (0.0, 1.0) if grader.binary else None
    return histogram_chart(bins, short_name(grader.name), ticks) if bins else None


def slices_plot(grader: GraderReport) -> str | None:
    """The slices that have an interval; None where none has."""
    marks = [
        Mark(f"{short_name(one.name)} ({one.items})", one.mean, one.interval, LEVEL)
        for one in grader.slices
        if one.interval
    ]
    return forest_chart(marks, short_name(grader.name), zero=False) if marks else None


def times_plot(times: AnswerTimes) -> str:
    """Median and 95th percentile."""
    rows = [("answers", times.median_s, times.p95_s)]
    return bars_chart(rows, "seconds: median (dark) and 95th percentile")


def metric_plot(found: MetricComparison, min_difference: float) -> str:
    """The difference on all pairs, and on each judged slice."""
    marks = [
        Mark(
            f"all ({found.items})",
            found.difference,
            found.interval,
            _COLOURS.get(found.verdict, LEVEL),
        )
    ]
    marks += [
        Mark(
            f"{short_name(one.name)} ({one.items})",
            one.difference,
            one.interval,
            _COLOURS.get(one.verdict, LEVEL),
        )
        for one in found.slices
        if one.verdict != "too small"
    ]
    bounds = [(sign * min_difference, LEVEL) for sign in (-1, 1)] if min_difference else []
    label = f"{short_name(found.grader)}: candidate minus baseline"
    return forest_chart(marks, label, bounds=bounds)
