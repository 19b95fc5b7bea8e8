"""The promotion gate: parity, comparison, slices, latency, size, in this order, in one report."""

import time
from collections.abc import Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from cluster.errors import EverloopError
from training.errors import GateError
from training.examples import Example
from training.gate.comparison import compare
from training.gate.costs import measure_latency, measure_size
from training.gate.evidence import Answers, Comparison, Evidence, Parity, Slices
from training.gate.generation import Say, ask_both
from training.gate.items import HeldOut, draw_items, expected_tokens, held_out_set
from training.gate.metrics import choose_metric
from training.gate.parity import measure_parity
from training.gate.report import Contender, GateReport, reported_items
from training.gate.scoring import Scored, grade_pairs, graders_metric, score_pairs
from training.gate.served import Served
from training.gate.settings import GateSettings
from training.gate.slices import judge_slices
from training.gate.verdict import decide
from training.tokens import ExampleTokenizer

__all__ = ["run_gate"]

_SAME_WEIGHTS: Final = (
    "Both sides are answered by the same weights, so there is no parity to check; they differ in "
    "prompt or retrieval."
)


def run_gate(
    candidate: Contender,
    champion: Contender,
    data: Path | Sequence[Example],
    settings: GateSettings,
    service: Served,
    base_folder: Path,
    adapter_folder: Path | None,
    say: Say,
    *,
    chat_template: Path | None = None,
) -> GateReport:
    """Compare the candidate with the champion on held-out data, through the running service.

    `base_folder` and `adapter_folder` hold the candidate's weights as they were trained (None: a
    model of its own in `base_folder`), `chat_template` the one it was trained with, if not the
    base's. A fault of the parity check makes the verdict inconclusive; it does not apply where both
    sides are arms of the same weights. Raises DatasetError and ExampleError for the data, GateError
    where nothing can be compared, and the service's error where it does not answer. `say` is called
    from this thread, and may raise to end the run.
    """
    began = time.monotonic()
    held_out = held_out_set(data)
    tokenizer = ExampleTokenizer.load(base_folder, chat_template)
    items = draw_items(held_out.items, settings.max_items, settings.seed)
    expected = [expected_tokens(tokenizer, item) for item in items]
    references = [item.reference for item in items]
    if settings.grader is None:
        metric = choose_metric(
            settings.metric,
            references,
            settings.short_reference_words,
            by_weights=candidate.weights is None,
        )
        if metric.needs_log_probabilities and candidate.weights is not None:
            raise GateError(
                f"{metric.name} is of weights, and {candidate.model} is an arm with a prompt.",
                fix="Set the gate's `metric` to exact_match or token_f1, or give a `grader`.",
            )
    else:
        metric = graders_metric(settings.grader)
    parity = Parity(
        probes=(), served=0.0, templates_checked=0, templates_differ=0, skipped=_SAME_WEIGHTS
    )
    if candidate.weights is None or candidate.weights != champion.weights:
        say(f"parity of {candidate.shown}")
        probed = items[: settings.parity_items]
        parity = _parity(
            service, candidate, probed, tokenizer, base_folder, adapter_folder, settings
        )
    say(f"asking both about {len(items)} items, compared by {metric.name}")
    models = (candidate.model, champion.model)
    pairs = ask_both(service, models, items, expected, metric, settings, say)
    if settings.grader is None:
        answered, judge = score_pairs(pairs, metric), None
    else:
        answered, judge = grade_pairs(
            service, settings.grader, pairs, timeout_s=settings.grading_timeout_s, say=say
        )
    evidence = Evidence(
        parity=parity,
        answers=Answers(
            held_out=held_out.rows,
            asked=len(items),
            left_out=held_out.left_out,
            unanswered=len(pairs) - len(answered.pairs),
            errors=tuple(dict.fromkeys(pair.error for pair in pairs if pair.error))[:20],
        ),
        comparison=_comparison(answered, settings),
        slices=_slices(answered, settings),
        latency=measure_latency(
            [pair.candidate.answer for pair in answered.pairs if pair.candidate],
            [pair.champion.answer for pair in answered.pairs if pair.champion],
        ),
        size=measure_size(adapter_folder),
        judge=judge,
    )
    verdict = decide(evidence, settings.bounds)
    say(f"{verdict.outcome}: {verdict.reasons[0]}")
    return GateReport(
        at=datetime.now(UTC).replace(microsecond=0),
        seconds=round(time.monotonic() - began, 3),
        candidate=candidate,
        champion=champion,
        settings=settings,
        evidence=evidence,
        verdict=verdict,
        items=reported_items(
            answered.pairs, answered.candidate, answered.champion, settings.items_kept
        ),
    )


def _comparison(answered: Scored, settings: GateSettings) -> Comparison | None:
    if not answered.pairs:
        return None
    return compare(
        answered.candidate,
        answered.champion,
        answered.metric,
        alpha=settings.bounds.alpha,
        resamples=settings.resamples,
        seed=settings.seed,
    )


def _slices(answered: Scored, settings: GateSettings) -> Slices:
    items = [pair.item for pair in answered.pairs]
    if not items:
        return Slices(by="none", min_items=settings.min_slice_items)
    return judge_slices(items, answered.candidate, answered.champion, answered.metric, settings)


def _parity(
    service: Served,
    candidate: Contender,
    items: Sequence[HeldOut],
    tokenizer: ExampleTokenizer,
    base_folder: Path,
    adapter_folder: Path | None,
    settings: GateSettings,
) -> Parity:
    try:
        return measure_parity(
            service,
            candidate.weights or candidate.model,
            items,
            tokenizer,
            base_folder,
            adapter_folder,
            settings.parity_precision,
        )
    except EverloopError as error:
        return Parity(
            probes=(), served=0.0, templates_checked=0, templates_differ=0, error=str(error)
        )
