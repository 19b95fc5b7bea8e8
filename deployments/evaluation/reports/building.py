"""A run's report from its scored items."""

from collections import Counter
from collections.abc import Sequence
from datetime import UTC, datetime
from statistics import fmean, median

from deployments.evaluation.comparison.scored import ScoredItem, ScoredRun, is_synthetic
from deployments.evaluation.comparison.texts import cut, question_text, reference_text
from deployments.evaluation.reports.graders import grader_report
from deployments.evaluation.reports.run import (
    AnswerTimes,
    ErrorKind,
    GraderReport,
    ItemScore,
    ReportedItem,
    RunReport,
    TokenCosts,
)
from deployments.evaluation.reports.settings import ReportSettings

__all__ = ["report_of_run"]


def report_of_run(
    run: ScoredRun, settings: ReportSettings | None = None, *, at: datetime | None = None
) -> RunReport:
    """Report on a run, finished or not: items without scores are counted as such."""
    settings = settings or ReportSettings()
    samples = [item.sample for item in run.items if item.sample]
    graders = tuple(grader_report(grader, run.items, settings) for grader in run.graders)
    return RunReport(
        at=at or datetime.now(UTC),
        name=run.name,
        settings=settings,
        items=len(run.items),
        answered=sum(not item.error for item in run.items),
        refused=sum(sample.refused for sample in samples),
        synthetic=sum(is_synthetic(item.item) for item in run.items),
        models=dict(Counter(sample.model for sample in samples if sample.model).most_common()),
        graders=graders,
        errors=_errors(run.items),
        times=_times(run.items),
        tokens=_tokens(run.items, settings),
        worst=_worst(run.items, graders, settings.worst_kept),
        slowest=_slowest(run.items, graders, settings.slowest_kept),
    )


def _errors(items: Sequence[ScoredItem]) -> tuple[ErrorKind, ...]:
    numbers: dict[str, list[int]] = {}
    for item in items:
        if item.error:
            numbers.setdefault(item.error, []).append(item.number)
    kinds = sorted(numbers.items(), key=lambda kind: (-len(kind[1]), kind[0]))
    return tuple(
        ErrorKind(message=cut(message), count=len(found), numbers=tuple(found[:10]))
        for message, found in kinds
    )


def _times(items: Sequence[ScoredItem]) -> AnswerTimes | None:
    seconds = sorted(
        item.sample.seconds for item in items if item.sample and item.sample.seconds is not None
    )
    if not seconds:
        return None
    return AnswerTimes(
        answers=len(seconds),
        mean_s=fmean(seconds),
        median_s=median(seconds),
        p95_s=seconds[min(len(seconds) - 1, int(0.95 * len(seconds)))],
        longest_s=seconds[-1],
    )


def _tokens(items: Sequence[ScoredItem], settings: ReportSettings) -> TokenCosts | None:
    counted = [
        (item.sample.prompt_tokens or 0, item.sample.completion_tokens or 0)
        for item in items
        if item.sample
        and (item.sample.prompt_tokens is not None or item.sample.completion_tokens is not None)
    ]
    if not counted:
        return None
    asked, answered = sum(one for one, _ in counted), sum(one for _, one in counted)
    cost = None
    if settings.prompt_price is not None and settings.completion_price is not None:
        cost = (asked * settings.prompt_price + answered * settings.completion_price) / 1e6
    return TokenCosts(
        answers=len(counted), prompt_tokens=asked, completion_tokens=answered, cost=cost
    )


def _worst(
    items: Sequence[ScoredItem], graders: Sequence[GraderReport], most: int
) -> tuple[ReportedItem, ...]:
    scored = [item for item in items if any(item.score(g.name) is not None for g in graders)]
    order = sorted(scored, key=lambda item: (*_merit(item, graders), item.number))
    return tuple(_item(item, graders) for item in order[:most])


def _merit(item: ScoredItem, graders: Sequence[GraderReport]) -> tuple[int, float]:
    """Failed graders, negated, and where the scores lie between the run's worst and best."""
    failed = sum(item.passed.get(grader.name) is False for grader in graders)
    places = []
    for grader in graders:
        value = item.score(grader.name)
        if value is None or grader.minimum is None or grader.maximum is None:
            continue
        width = grader.maximum - grader.minimum
        place = (value - grader.minimum) / width if width else 1.0
        places.append(place if grader.higher_is_better else 1.0 - place)
    return -failed, fmean(places)


def _slowest(
    items: Sequence[ScoredItem], graders: Sequence[GraderReport], most: int
) -> tuple[ReportedItem, ...]:
    timed = [
        (item.sample.seconds, item)
        for item in items
        if item.sample and item.sample.seconds is not None
    ]
    timed.sort(key=lambda one: (-one[0], one[1].number))
    return tuple(_item(item, graders) for _, item in timed[:most])


def _item(item: ScoredItem, graders: Sequence[GraderReport]) -> ReportedItem:
    sample = item.sample
    return ReportedItem(
        number=item.number,
        question=question_text(item.item),
        reference=reference_text(item.item),
        answer=cut(item.answer),
        model=sample.model if sample else None,
        seconds=sample.seconds if sample else None,
        refused=sample.refused if sample else False,
        synthetic=is_synthetic(item.item),
        scores=tuple(
            ItemScore(grader=g.name, value=item.score(g.name), passed=item.passed.get(g.name))
            for g in graders
        ),
    )
