"""The comparison by parts of the items: a mean can rise while some users lose.

All judged slices of all metrics are one family: Holm's correction bounds the probability of a false
alarm anywhere among them by alpha.
"""

from collections.abc import Sequence
from statistics import fmean
from typing import Final, NamedTuple

from deployments.evaluation.comparison.report import SliceComparison
from deployments.evaluation.comparison.scored import field_text
from deployments.evaluation.comparison.scores import ScoredPairs
from deployments.evaluation.comparison.settings import ComparisonSettings
from deployments.evaluation.comparison.verdict import Finding, judge
from training.gate.comparison import paired
from training.gate.evidence import Interval, Paired
from training.gate.slices import holm, places_by

__all__ = ["WITHOUT", "SlicesOfMetric", "means_p_values", "sliced", "turned_interval"]

WITHOUT: Final = "(without)"
"""Name of the slice of items that lack the field."""
_ORDER: Final = {"worse": 0, "mixed": 1, "no difference shown": 2, "better": 3, "too small": 4}


class SlicesOfMetric(NamedTuple):
    """One metric's slices."""

    shown: tuple[SliceComparison, ...]
    left_out: int


class _Part(NamedTuple):
    metric: int
    name: str
    items: int
    baseline: float
    candidate: float
    gain: float
    found: Paired | None
    """None where the slice is too small to judge."""


def sliced(
    scored: Sequence[ScoredPairs], settings: ComparisonSettings
) -> tuple[SlicesOfMetric, ...]:
    """Each metric's slices by `settings.slice_by`, the worst first; none where that is None."""
    if settings.slice_by is None:
        return tuple(SlicesOfMetric((), 0) for _ in scored)
    parts: list[_Part] = []
    left_out = []
    for place, one in enumerate(scored):
        found, left = _parts(place, one, settings.slice_by, settings)
        parts += found
        left_out.append(left)
    found_in = [part.found for part in parts if part.found]
    adjusted = holm([one.p_value for one in found_in])
    findings = iter(
        [
            Finding.of(one, p_value, mean)
            for one, p_value, mean in zip(
                found_in, adjusted, holm(means_p_values(found_in)), strict=True
            )
        ]
    )
    told = [
        (part.metric, _slice(part, next(findings) if part.found else None, scored, settings))
        for part in parts
    ]
    return tuple(
        SlicesOfMetric(
            tuple(sorted((part for metric, part in told if metric == place), key=_rank)), left
        )
        for place, left in enumerate(left_out)
    )


def means_p_values(found: Sequence[Paired]) -> list[float]:
    """The p-values of a mean of 0; the test's own where there is none."""
    return [one.p_value if one.mean_p_value is None else one.mean_p_value for one in found]


def turned_interval(interval: Interval | None) -> Interval | None:
    """The interval of the negated mean."""
    if interval is None:
        return None
    return interval.model_copy(update={"low": 0.0 - interval.high, "high": 0.0 - interval.low})


def _parts(
    metric: int, one: ScoredPairs, field: str, settings: ComparisonSettings
) -> tuple[list[_Part], int]:
    names = [field_text(pair.baseline.item, field) or WITHOUT for pair in one.pairs]
    groups = sorted(places_by(names).items(), key=lambda group: (-len(group[1]), group[0]))
    gains = one.gains
    parts = []
    for name, places in groups[: settings.max_slices]:
        inside = [gains[i] for i in places]
        found = None
        if len(places) >= settings.min_slice_items:
            found = paired(
                inside,
                one.grader.binary,
                alpha=settings.alpha,
                resamples=settings.resamples,
                seed=settings.seed,
            )
        before = fmean(one.baseline[i] for i in places)
        after = fmean(one.candidate[i] for i in places)
        parts.append(_Part(metric, name, len(places), before, after, fmean(inside), found))
    return parts, max(0, len(groups) - settings.max_slices)


def _slice(
    part: _Part,
    finding: Finding | None,
    scored: Sequence[ScoredPairs],
    settings: ComparisonSettings,
) -> SliceComparison:
    higher = scored[part.metric].grader.higher_is_better
    told = SliceComparison(
        name=part.name,
        items=part.items,
        baseline=part.baseline,
        candidate=part.candidate,
        difference=part.gain if higher else 0.0 - part.gain,
        verdict="too small",
    )
    if part.found is None or finding is None:
        return told
    if not scored[part.metric].judged(settings.max_missing):
        return told.model_copy(update={"verdict": "no difference shown"})
    outcome, _ = judge(finding, alpha=settings.alpha, min_difference=settings.min_difference)
    interval = part.found.interval if higher else turned_interval(part.found.interval)
    return told.model_copy(
        update={"interval": interval, "p_value": finding.p_value, "verdict": outcome}
    )


def _rank(one: SliceComparison) -> tuple[int, int, str]:
    return _ORDER[one.verdict], -one.items, one.name
