"""From what the service has answered to rows to train on, each with the id of its trace."""

from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import Any, Final

__all__ = ["TraceRule", "row_of_trace", "rows_of_traces"]

_ANSWERED: Final = 200


@dataclass(frozen=True, slots=True)
class TraceRule:
    """Which answers are good enough to learn from."""

    least_scores: Mapping[str, float] = field(default_factory=dict)
    """By the score's name; a trace without such a score is left out."""
    refusals: bool = False
    """Take «I don't know» too."""


def rows_of_traces(
    traces: Iterable[Mapping[str, Any]], rule: TraceRule
) -> Iterator[dict[str, Any]]:
    """Chat rows of the traces that the rule takes, each question's latest answer once."""
    asked: set[str] = set()
    for trace in traces:
        row = row_of_trace(trace, rule)
        if row is not None and (question := row["messages"][0]["content"]) not in asked:
            asked.add(question)
            yield row


def row_of_trace(trace: Mapping[str, Any], rule: TraceRule) -> dict[str, Any] | None:
    """The chat row of one trace as `GET /v1/traces` gives it; None where it is left out."""
    question, answer = trace.get("question"), trace.get("answer")
    if trace.get("status") != _ANSWERED or not (question or "").strip():
        return None
    if not (answer or "").strip() or (trace.get("refused") and not rule.refusals):
        return None
    scores = {score["name"]: score["value"] for score in trace.get("scores") or ()}
    for name, least in rule.least_scores.items():
        value = scores.get(name)
        if value is None or value < least:
            return None
    metadata = {"trace": trace["id"], "route": trace.get("route"), "model": trace.get("model")}
    return {
        "messages": [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ],
        "metadata": {name: value for name, value in metadata.items() if value is not None},
    }
