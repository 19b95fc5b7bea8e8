"""What one grader said of a run: means, shares and slices, each with its interval."""

import math
from collections.abc import Sequence
from statistics import fmean, median, stdev

from deployments.evaluation.comparison.scored import ScoredGrader, ScoredItem, field_text
from deployments.evaluation.comparison.slices import WITHOUT
from deployments.evaluation.reports.run import Bin, GraderReport, SliceScore
from deployments.evaluation.reports.settings import ReportSettings
from training.gate.evidence import Interval
from training.gate.intervals import mean_interval, share_interval
from training.gate.slices import places_by

__all__ = ["grader_report"]


def grader_report(
    grader: ScoredGrader, items: Sequence[ScoredItem], settings: ReportSettings
) -> GraderReport:
    """Sum up one grader's scores of `items`."""
    scored = [(item, value) for item in items if (value := item.score(grader.name)) is not None]
    values = [value for _, value in scored]
    verdicts = [item.passed.get(grader.name) for item in items]
    passed, failed = verdicts.count(True), verdicts.count(False)
    told = GraderReport(
        name=grader.name,
        metric=grader.metric or grader.name,
        binary=grader.binary,
        higher_is_better=grader.higher_is_better,
        scored=len(values),
        unscored=len(items) - len(values),
        passed=passed,
        failed=failed,
        pass_rate=passed / (passed + failed) if passed + failed else None,
        pass_interval=share_interval(passed, passed + failed, alpha=settings.alpha),
        summary={k: v if math.isfinite(v) else None for k, v in grader.summary.items()},
        judge=dict(grader.judge),
    )
    if not values:
        return told
    slices, left_out = _slices(grader, scored, settings)
    return told.model_copy(
        update={
            "mean": fmean(values),
            "interval": _interval(values, grader.binary, settings),
            "spread": stdev(values) if len(values) > 1 else None,
            "minimum": min(values),
            "median": median(values),
            "maximum": max(values),
            "histogram": _histogram(values, grader.binary, settings.bins),
            "slices": slices,
            "slices_left_out": left_out,
        }
    )


def _interval(values: Sequence[float], binary: bool, settings: ReportSettings) -> Interval | None:
    if binary and set(values) <= {0.0, 1.0}:
        return share_interval(int(sum(values)), len(values), alpha=settings.alpha)
    return mean_interval(
        values, alpha=settings.alpha, resamples=settings.resamples, seed=settings.seed
    )


def _histogram(values: Sequence[float], binary: bool, bins: int) -> tuple[Bin, ...]:
    import numpy as np

    edges = [-0.5, 0.5, 1.5] if binary and set(values) <= {0.0, 1.0} else bins
    if not binary and min(values) == max(values):
        edges = 1
    counts, borders = np.histogram(values, bins=edges)
    return tuple(
        Bin(low=float(low), high=float(high), count=int(count))
        for low, high, count in zip(borders[:-1], borders[1:], counts, strict=True)
    )


def _slices(
    grader: ScoredGrader, scored: Sequence[tuple[ScoredItem, float]], settings: ReportSettings
) -> tuple[tuple[SliceScore, ...], int]:
    if settings.slice_by is None:
        return (), 0
    names = [field_text(item.item, settings.slice_by) or WITHOUT for item, _ in scored]
    groups = sorted(places_by(names).items(), key=lambda group: (-len(group[1]), group[0]))
    found = []
    for name, places in groups[: settings.max_slices]:
        values = [scored[place][1] for place in places]
        large = len(values) >= settings.min_slice_items
        interval = _interval(values, grader.binary, settings) if large else None
        found.append(
            SliceScore(name=name, items=len(values), mean=fmean(values), interval=interval)
        )
    sign = 1 if grader.higher_is_better else -1
    found.sort(key=lambda one: (one.interval is None, sign * one.mean, one.name))
    return tuple(found), max(0, len(groups) - settings.max_slices)
