"""What both sides' answers are worth: by a metric of the gate, or by a grader of the Evaluator."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, replace
from typing import Any, Final

from training.data.texts import question
from training.errors import GateError
from training.gate.evidence import Judge
from training.gate.generation import Pair, Say, Side
from training.gate.metrics import Metric, Observation
from training.gate.served import Graded, Served

__all__ = ["Scored", "grade_pairs", "graders_metric", "score_pairs"]

_RESOLUTION: Final = 1e-9


@dataclass(frozen=True, slots=True)
class Scored:
    """The items that both sides answered and that have both scores, in their order."""

    metric: Metric
    pairs: Sequence[Pair]
    candidate: Sequence[float]
    """Higher is better."""
    champion: Sequence[float]


def score_pairs(pairs: Sequence[Pair], metric: Metric) -> Scored:
    """Score what both sides answered."""
    kept = _answered(pairs)
    return Scored(
        metric,
        [pair for pair, _, _ in kept],
        [metric.score(ours.observation) for _, ours, _ in kept],
        [metric.score(theirs.observation) for _, _, theirs in kept],
    )


def graders_metric(grader: Mapping[str, Any]) -> Metric:
    """The metric that stands for a grader; whether it is binary is known when it has scored."""
    name = str(grader.get("name") or grader.get("type") or "grader")
    return Metric(name, False, False, "score of the grader", _RESOLUTION, _not_here)


def grade_pairs(
    service: Served,
    grader: Mapping[str, Any],
    pairs: Sequence[Pair],
    *,
    timeout_s: float,
    say: Say,
) -> tuple[Scored, Judge | None]:
    """Let the Evaluator score all answers in one run. Raises GateError and the service's error.

    Items that it cannot score on both sides are left out. Where lower is better, scores change
    their sign.
    """
    kept = _answered(pairs)
    if not kept:
        return Scored(graders_metric(grader), [], [], []), None
    rows = [_row(pair, ours) for pair, ours, _ in kept]
    rows += [_row(pair, theirs) for pair, _, theirs in kept]
    graded = service.grade(grader, rows, timeout_s=timeout_s, say=say)
    sign = 1.0 if graded.higher_is_better else -1.0
    ours, theirs = graded.scores[: len(kept)], graded.scores[len(kept) :]
    scored = [
        (pair, sign * mine, sign * other)
        for (pair, _, _), mine, other in zip(kept, ours, theirs, strict=True)
        if mine is not None and other is not None
    ]
    metric = replace(graders_metric(grader), binary=graded.binary)
    found = Scored(
        metric,
        [pair for pair, _, _ in scored],
        [mine for _, mine, _ in scored],
        [other for _, _, other in scored],
    )
    return found, _judge(graded)


def _answered(pairs: Sequence[Pair]) -> list[tuple[Pair, Side, Side]]:
    both = ((pair, pair.candidate, pair.champion) for pair in pairs)
    return [(pair, ours, theirs) for pair, ours, theirs in both if ours and theirs]


def _row(pair: Pair, side: Side) -> dict[str, Any]:
    return {
        "item": {
            "question": "\n".join(turn.text for turn in question(pair.item.example)),
            "reference": pair.item.reference,
            "metadata": dict(pair.item.metadata),
        },
        "sample": {"output_text": side.answer.text},
    }


def _judge(graded: Graded) -> Judge | None:
    if graded.judge is None:
        return None
    figures = {name: value for name, value in graded.judge.items() if name != "standing"}
    standing = graded.judge.get("standing") or {
        "allowed": False,
        "reasons": ["The Evaluator does not say whether it may."],
    }
    return Judge(
        allowed=bool(standing["allowed"]), reasons=tuple(standing["reasons"]), figures=figures
    )


def _not_here(_seen: Observation) -> float:
    raise GateError("A grader's scores come from the Evaluator.")
