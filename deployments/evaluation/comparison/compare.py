"""Two runs on the same items: which differences are real, how large, and where."""

from collections.abc import Sequence
from datetime import UTC, datetime
from statistics import fmean

from deployments.evaluation.comparison.effects import effects_of
from deployments.evaluation.comparison.pairing import Pair, pair_items
from deployments.evaluation.comparison.report import (
    ComparedItem,
    ComparedScore,
    ComparisonReport,
    LeftOut,
    MetricComparison,
    PairingReport,
)
from deployments.evaluation.comparison.scored import ScoredGrader, ScoredRun, is_synthetic
from deployments.evaluation.comparison.scores import ComparisonError, ScoredPairs, score_pairs
from deployments.evaluation.comparison.settings import ComparisonSettings
from deployments.evaluation.comparison.slices import means_p_values, sliced, turned_interval
from deployments.evaluation.comparison.texts import cut, question_text, reference_text
from deployments.evaluation.comparison.verdict import Finding, Outcome, judge, judge_whole
from training.gate.comparison import paired
from training.gate.evidence import Interval, Paired
from training.gate.slices import holm

__all__ = ["compare_runs"]


def compare_runs(
    baseline: ScoredRun,
    candidate: ScoredRun,
    settings: ComparisonSettings | None = None,
    *,
    at: datetime | None = None,
) -> ComparisonReport:
    """Compare the runs by every grader that both have.

    Raises ComparisonError where no item or no grader is in both.
    """
    settings = settings or ComparisonSettings()
    pairing = pair_items(baseline.items, candidate.items, settings.pair_by)
    if not pairing.pairs:
        raise ComparisonError(
            f"The runs «{baseline.name}» and «{candidate.name}» have no item in common by "
            f"`{settings.pair_by}`.",
            fix="Compare runs over the same data, or set pair_by to `number` or `item.NAME`.",
        )
    graders, left_out = _graders(baseline, candidate, settings)
    scored = [score_pairs(grader, pairing.pairs) for grader in graders]
    left_out += [
        LeftOut(grader=one.grader.name, reason="No pair has a score from both runs.")
        for one in scored
        if not one.pairs
    ]
    scored = [one for one in scored if one.pairs]
    if not scored:
        why = "; ".join(f"{one.grader}: {one.reason}" for one in left_out)
        raise ComparisonError(
            f"No grader has scores in both runs. {why}".strip(),
            fix="Compare runs of the same eval.",
        )
    metrics = _metrics(scored, settings)
    whole = judge_whole(
        [(one.grader, one.verdict) for one in metrics],
        [(one.grader, part.name, part.verdict) for one in metrics for part in one.slices],
        [one.grader.name for one in scored if not one.judged(settings.max_missing)],
    )
    return ComparisonReport(
        at=at or datetime.now(UTC),
        baseline=baseline.name,
        candidate=candidate.name,
        settings=settings,
        pairing=PairingReport(
            by=settings.pair_by,
            pairs=len(pairing.pairs),
            synthetic=sum(is_synthetic(pair.baseline.item) for pair in pairing.pairs),
            baseline_only=tuple(item.number for item in pairing.baseline_only),
            candidate_only=tuple(item.number for item in pairing.candidate_only),
        ),
        verdict=whole.outcome,
        reasons=whole.reasons,
        metrics=metrics,
        left_out=tuple(left_out),
        items=_items(pairing.pairs, scored, settings.items_kept),
    )


def _graders(
    baseline: ScoredRun, candidate: ScoredRun, settings: ComparisonSettings
) -> tuple[list[ScoredGrader], list[LeftOut]]:
    ours = {grader.name: grader for grader in candidate.graders}
    theirs = {grader.name: grader for grader in baseline.graders}
    for name in settings.graders:
        if name not in ours and name not in theirs:
            known = ", ".join(sorted(ours.keys() | theirs.keys())) or "none"
            raise ComparisonError(
                f"Neither run has a grader «{name}»; there are: {known}.",
                fix="Name graders that both runs have, or leave `graders` out.",
            )
    wanted = settings.graders or (*theirs, *(name for name in ours if name not in theirs))
    both, left_out = [], []
    for name in wanted:
        one, other = theirs.get(name), ours.get(name)
        if one is None or other is None:
            run = candidate.name if one is None else baseline.name
            left_out.append(LeftOut(grader=name, reason=f"Only the run «{run}» has it."))
        elif (one.metric, one.binary, one.higher_is_better) != (
            other.metric,
            other.binary,
            other.higher_is_better,
        ):
            left_out.append(LeftOut(grader=name, reason="It measures another thing in each run."))
        else:
            both.append(one)
    return both, left_out


def _metrics(
    scored: Sequence[ScoredPairs], settings: ComparisonSettings
) -> tuple[MetricComparison, ...]:
    found = [
        paired(
            one.gains,
            one.grader.binary,
            alpha=settings.alpha,
            resamples=settings.resamples,
            seed=settings.seed,
            tests=len(scored),
        )
        for one in scored
    ]
    adjusted, of_means = holm([one.p_value for one in found]), holm(means_p_values(found))
    parts = sliced(scored, settings)
    return tuple(
        _metric(one, Finding.of(result, p_value, mean), result, settings).model_copy(
            update={"slices": part.shown, "slices_left_out": part.left_out}
        )
        for one, result, p_value, mean, part in zip(
            scored, found, adjusted, of_means, parts, strict=True
        )
    )


def _metric(
    one: ScoredPairs, finding: Finding, found: Paired, settings: ComparisonSettings
) -> MetricComparison:
    outcome, why = _judged(one, finding, settings)
    gains, grader = one.gains, one.grader
    turned = _turned(found, grader.higher_is_better)
    before, after = fmean(one.baseline), fmean(one.candidate)
    wins, losses = sum(g > 0 for g in gains), sum(g < 0 for g in gains)
    reason = (
        f"{grader.name}: {why}. {after:.4f} against {before:.4f} on {found.items} pairs, "
        f"{turned.difference:+.4f}{_within(turned.interval, settings.alpha)}; {found.test}, "
        f"p = {found.p_value:.3g}, {finding.p_value:.3g} by Holm; better on {wins}, worse on "
        f"{losses}."
    )
    return MetricComparison(
        **dict(turned),
        grader=grader.name,
        metric=grader.metric or grader.name,
        binary=grader.binary,
        higher_is_better=grader.higher_is_better,
        baseline=before,
        candidate=after,
        wins=wins,
        losses=losses,
        adjusted_p_value=finding.p_value,
        effects=effects_of(gains, grader.binary),
        missing=one.missing,
        verdict=outcome,
        reason=reason,
    )


def _judged(
    one: ScoredPairs, finding: Finding, settings: ComparisonSettings
) -> tuple[Outcome, str]:
    if not one.judged(settings.max_missing):
        return (
            "no difference shown",
            f"{one.lost} pairs have a score from one run only, more than the "
            f"{settings.max_missing:.0%} that are borne",
        )
    return judge(finding, alpha=settings.alpha, min_difference=settings.min_difference)


def _turned(found: Paired, higher_is_better: bool) -> Paired:
    """Gains become candidate minus baseline again."""
    if higher_is_better:
        return found
    update = {"difference": 0.0 - found.difference, "interval": turned_interval(found.interval)}
    return found.model_copy(update=update)


def _within(interval: Interval | None, alpha: float) -> str:
    if interval is None:
        return ""
    return f" ({1 - alpha:.0%} interval {interval.low:+.4f} to {interval.high:+.4f})"


def _items(
    pairs: Sequence[Pair], scored: Sequence[ScoredPairs], most: int
) -> tuple[ComparedItem, ...]:
    """The `most` pairs whose scores are furthest apart, each metric by its own largest gap."""
    apart: dict[int, float] = {}
    for one in scored:
        gains = one.gains
        largest = max(map(abs, gains)) or 1.0
        for pair, gain in zip(one.pairs, gains, strict=True):
            apart[id(pair)] = apart.get(id(pair), 0.0) + abs(gain) / largest
    order = sorted(pairs, key=lambda pair: (-apart.get(id(pair), 0.0), pair.baseline.number))
    graders = [one.grader.name for one in scored]
    return tuple(_item(pair, graders) for pair in order[:most])


def _item(pair: Pair, graders: Sequence[str]) -> ComparedItem:
    before, after = pair
    return ComparedItem(
        number=before.number,
        candidate_number=after.number,
        question=question_text(before.item),
        reference=reference_text(before.item),
        baseline=cut(before.answer),
        candidate=cut(after.answer),
        scores=tuple(
            ComparedScore(grader=name, baseline=before.score(name), candidate=after.score(name))
            for name in graders
        ),
        synthetic=is_synthetic(before.item),
    )
