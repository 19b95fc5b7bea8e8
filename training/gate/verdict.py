"""From evidence to a verdict: pure, and the only place that says what promotes.

Each check passes, fails, or stays unclear. One that fails refuses the candidate; one that is
unclear leaves it inconclusive; only where all pass is it promoted.
"""

from collections.abc import Iterator
from typing import Final, Literal

from cluster.sections.section import Section
from training.gate.evidence import Comparison, Evidence, Judge, Latency, Parity, Slice, Slices
from training.gate.settings import Bounds

__all__ = ["Check", "Outcome", "Verdict", "decide"]

CheckName = Literal[
    "parity", "template", "answers", "judge", "comparison", "slices", "latency", "size"
]
Result = Literal["pass", "fail", "unclear"]
Outcome = Literal["promote", "inconclusive", "refuse"]
_SLICES_NAMED: Final = 5


class Check(Section):
    """One condition of a promotion."""

    name: CheckName
    result: Result
    reason: str
    """One sentence with the numbers."""


class Verdict(Section):
    """Whether the candidate takes the champion's place."""

    outcome: Outcome
    """Only `promote` promotes: `inconclusive` is no win that was shown, `refuse` harm or fault."""
    checks: tuple[Check, ...]
    """All, in the gate's order."""

    @property
    def gist(self) -> str:
        """One sentence: what refused it or left it open, else how much better it is."""
        if self.outcome == "promote":
            return next((c.reason for c in self.checks if c.name == "comparison"), self.reasons[0])
        return self.reasons[0]

    @property
    def reasons(self) -> tuple[str, ...]:
        """Why: the checks that refuse or leave it open, or all where it is promoted."""
        stands_for = {"refuse": "fail", "inconclusive": "unclear", "promote": "pass"}
        return tuple(c.reason for c in self.checks if c.result == stands_for[self.outcome])


def decide(evidence: Evidence, bounds: Bounds) -> Verdict:
    """Weigh the evidence."""
    checks = tuple(_checks(evidence, bounds))
    results = {check.result for check in checks}
    outcome: Outcome = "promote"
    if "fail" in results:
        outcome = "refuse"
    elif "unclear" in results:
        outcome = "inconclusive"
    return Verdict(outcome=outcome, checks=checks)


def _checks(evidence: Evidence, bounds: Bounds) -> Iterator[Check]:
    yield _parity(evidence.parity, bounds)
    yield _template(evidence.parity)
    yield _answers(evidence, bounds)
    if evidence.judge is not None:
        yield _judge(evidence.judge)
    yield _comparison(evidence.comparison, bounds)
    yield _slices(evidence.slices, bounds)
    yield _latency(evidence.latency, bounds)
    yield _size(evidence.size.adapter_bytes, bounds)


def _parity(parity: Parity, bounds: Bounds) -> Check:
    if parity.skipped:
        return Check(name="parity", result="pass", reason=parity.skipped)
    if parity.error:
        return Check(
            name="parity",
            result="unclear",
            reason=f"Trained and served weights could not be compared: {parity.error}",
        )
    tokens = sum(probe.tokens for probe in parity.probes)
    over = f"over {tokens} tokens of {len(parity.probes)} prompts; the bound is {bounds.parity:g}."
    if parity.served > bounds.parity:
        reason = (
            "The served weights are not those that were trained: log-probabilities differ by up to "
            f"{parity.served:.2g} {over}"
        )
        return Check(name="parity", result="fail", reason=reason)
    if parity.merged is not None and parity.merged > bounds.parity:
        reason = (
            "Merged into its base the adapter is another model: log-probabilities differ by up to "
            f"{parity.merged:.2g} {over}"
        )
        return Check(name="parity", result="fail", reason=reason)
    reason = f"Trained and served weights agree within {parity.served:.2g} {over}"
    if parity.merged is not None:
        reason += f" Merged weights differ by at most {parity.merged:.2g}."
    if parity.adapter_effect is not None and parity.adapter_effect <= bounds.parity:
        reason += (
            f" The adapter itself moves no token by more than {parity.adapter_effect:.2g}, so this "
            "cannot tell whether it is served at all."
        )
        return Check(name="parity", result="unclear", reason=reason)
    return Check(name="parity", result="pass", reason=reason)


def _template(parity: Parity) -> Check:
    if parity.skipped:
        return Check(name="template", result="pass", reason=parity.skipped)
    if parity.error or not parity.templates_checked:
        asked_none = not parity.error and bool(parity.probes)
        return Check(
            name="template",
            result="pass" if asked_none else "unclear",
            reason="No conversation is among the prompts, so no chat template takes part."
            if asked_none
            else "The chat templates of training and service could not be compared.",
        )
    if parity.templates_differ:
        first = next(p for p in parity.probes if p.same_template is False)
        reason = (
            f"The service renders {parity.templates_differ} of {parity.templates_checked} "
            f"conversations otherwise than the training did; {first.name}: {first.template_note}"
        )
        return Check(name="template", result="fail", reason=reason)
    reason = f"{parity.templates_checked} conversations become the same tokens in both."
    return Check(name="template", result="pass", reason=reason)


def _answers(evidence: Evidence, bounds: Bounds) -> Check:
    answers = evidence.answers
    share = answers.unanswered / answers.asked if answers.asked else 1.0
    said = f"{answers.asked - answers.unanswered} of {answers.asked} items were answered by both."
    if answers.left_out:
        said += f" {answers.left_out} rows hold no text to compare with, and were left out."
    if share > bounds.unanswered:
        why = f" First error: {answers.errors[0]}" if answers.errors else ""
        reason = f"{said} The bound on unanswered ones is {bounds.unanswered:.1%}.{why}"
        return Check(name="answers", result="unclear", reason=reason)
    return Check(name="answers", result="pass", reason=said)


def _judge(judge: Judge) -> Check:
    if judge.allowed:
        return Check(name="judge", result="pass", reason="The judge's own report is in order.")
    reason = f"The judge may not decide: {' '.join(judge.reasons)}"
    return Check(name="judge", result="unclear", reason=reason)


def _comparison(found: Comparison | None, bounds: Bounds) -> Check:
    if found is None:
        return Check(name="comparison", result="unclear", reason="There is nothing to compare.")
    numbers = _numbers(found, bounds)
    significant = found.p_value < bounds.alpha
    result: Result = "unclear"
    if significant and found.direction == "worse" and found.difference < 0:
        result, said = "fail", "The candidate is worse than the champion"
    elif not significant:
        return Check(
            name="comparison",
            result="unclear",
            reason=f"No difference is shown: {numbers} {found.power}",
        )
    elif found.direction != "better" or found.difference <= 0:
        said = "The test and the mean disagree on which side is better"
    elif found.difference < bounds.min_improvement:
        top = found.interval.high if found.interval else found.difference
        result = "fail" if top < bounds.min_improvement else "unclear"
        said = f"The candidate is better by less than the {bounds.min_improvement:g} that is asked"
    else:
        result, said = "pass", "The candidate is better than the champion"
    return Check(name="comparison", result=result, reason=f"{said}: {numbers}")


def _numbers(found: Comparison, bounds: Bounds) -> str:
    interval = found.interval
    within = (
        f" ({1 - bounds.alpha:.0%} interval {interval.low:+.4f} to {interval.high:+.4f})"
        if interval
        else ""
    )
    return (
        f"{found.metric} {found.candidate:.4f} against {found.champion:.4f} on {found.items} items,"
        f" a difference of {found.difference:+.4f}{within}; {found.test}, p = {found.p_value:.3g}; "
        f"ahead on {found.candidate_ahead}, behind on {found.champion_ahead}."
    )


def _slices(found: Slices, bounds: Bounds) -> Check:
    if found.by == "none":
        return Check(name="slices", result="pass", reason="The items are not cut into slices.")
    judged = found.judged
    small = len(found.slices) - len(judged)
    few = ""
    if small:
        few = f" {small} of under {found.min_items} items have too few that differ to be judged."
    regressions = [one for one in judged if one.verdict == "regression"]
    if regressions:
        reason = f"Worse beyond {bounds.slice:g} on {_named(regressions)}.{few}"
        return Check(name="slices", result="fail", reason=reason)
    suspects = [one for one in judged if one.verdict == "suspect"]
    reason = f"None of {len(judged)} slices by {found.by} is shown to be worse.{few}"
    if suspects:
        reason += f" Lower, without the evidence: {_named(suspects)}."
    return Check(name="slices", result="pass", reason=reason)


def _named(slices: list[Slice]) -> str:
    parts = [
        f"«{one.name}» ({one.candidate:.3f} against {one.champion:.3f}, {one.items} items, "
        f"p = {one.p_value:.2g})"
        for one in slices[:_SLICES_NAMED]
    ]
    more = len(slices) - _SLICES_NAMED
    return ", ".join(parts) + (f" and {more} more" if more > 0 else "")


def _latency(found: Latency | None, bounds: Bounds) -> Check:
    if found is None:
        return Check(name="latency", result="unclear", reason="No latency was measured.")
    ours, theirs = found.candidate, found.champion
    numbers = (
        f"median {ours.median_s:.3f} s against {theirs.median_s:.3f} s "
        f"(ratio {found.median_ratio:.2f}, bound {bounds.latency_median:g}), 95th percentile "
        f"{ours.p95_s:.3f} s against {theirs.p95_s:.3f} s (ratio {found.p95_ratio:.2f}, bound "
        f"{bounds.latency_p95:g}), {ours.tokens:.1f} against {theirs.tokens:.1f} tokens an answer."
    )
    slow = found.median_ratio > bounds.latency_median or found.p95_ratio > bounds.latency_p95
    said = "The candidate is too slow" if slow else "Latency is within bounds"
    return Check(name="latency", result="fail" if slow else "pass", reason=f"{said}: {numbers}")


def _size(size: int, bounds: Bounds) -> Check:
    fits = size <= bounds.adapter_bytes
    said = "fits" if fits else "is too large"
    reason = (
        f"The adapter {said}: {size / 1024**2:.1f} MiB; "
        f"the bound is {bounds.adapter_bytes / 1024**2:.1f} MiB."
    )
    return Check(name="size", result="pass" if fits else "fail", reason=reason)
