"""Whether answers on a topic became worse."""

import math
from collections.abc import Sequence
from statistics import fmean, variance
from typing import Final, Literal

from deployments.drift.report import Bounds, QualityReport, QualityVerdict
from deployments.drift.signals import Observed

__all__ = ["difference_of_means", "difference_of_shares", "quality_of", "verdict_of"]

_MEASURES: Final = (("answered", "refusals"), ("supported", "unsupported"), ("feedback", None))
"""Name, and the signal that it is one minus."""
_FEWEST: Final = 10
"""Values of each side under which nothing is said."""


def quality_of(
    current: Sequence[Observed], topic_before: Sequence[Observed], all_before: Sequence[Observed]
) -> list[QualityReport]:
    """Each measure that enough requests have. A topic that is new is held against all others."""
    reports = []
    for measure, complement in _MEASURES:
        now = _values(current, measure, complement)
        before = _values(topic_before, measure, complement)
        against: Literal["the topic before", "all topics before"] = "the topic before"
        if len(before) < _FEWEST:
            before, against = _values(all_before, measure, complement), "all topics before"
        if min(len(now), len(before)) < _FEWEST:
            continue
        binary = {*now, *before} <= {0.0, 1.0}
        interval = (difference_of_shares if binary else difference_of_means)(now, before)
        reports.append(
            QualityReport(
                measure=measure,
                current=fmean(now),
                before=fmean(before),
                against=against,
                difference=fmean(now) - fmean(before),
                interval=interval,
                verdict="fell" if interval.high < 0 else "did not fall",
            )
        )
    return reports


def verdict_of(reports: Sequence[QualityReport]) -> QualityVerdict:
    """Of all measures together."""
    if not reports:
        return "too few to say"
    return "fell" if any(one.verdict == "fell" for one in reports) else "did not fall"


def difference_of_shares(first: Sequence[float], second: Sequence[float]) -> Bounds:
    """95 % interval of the difference of the shares of ones in two independent samples.

    Newcombe, Interval estimation for the difference between independent proportions, Statistics in
    Medicine 17 (1998) 873-890, method 10: from Wilson's intervals.
    """
    from training.gate.intervals import share_interval

    one, two = fmean(first), fmean(second)
    own = share_interval(round(sum(first)), len(first), alpha=0.05)
    other = share_interval(round(sum(second)), len(second), alpha=0.05)
    assert own is not None  # noqa: S101 - neither is empty
    assert other is not None  # noqa: S101
    return Bounds(
        low=one - two - math.hypot(one - own.low, other.high - two),
        high=one - two + math.hypot(own.high - one, two - other.low),
    )


def difference_of_means(first: Sequence[float], second: Sequence[float]) -> Bounds:
    """95 % interval of the difference of two independent means, by Welch's t."""
    from scipy import stats

    spreads = [variance(first) / len(first), variance(second) / len(second)]
    middle, both = fmean(first) - fmean(second), sum(spreads)
    if both == 0:
        return Bounds(low=middle, high=middle)
    freedom = both**2 / (spreads[0] ** 2 / (len(first) - 1) + spreads[1] ** 2 / (len(second) - 1))
    reach = float(stats.t.ppf(0.975, freedom)) * math.sqrt(both)
    return Bounds(low=middle - reach, high=middle + reach)


def _values(requests: Sequence[Observed], measure: str, complement: str | None) -> list[float]:
    name = complement or measure
    found = [one.values[name] for one in requests if name in one.values]
    return [1.0 - value for value in found] if complement else found
