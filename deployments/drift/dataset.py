"""A topic's requests as rows to evaluate or to train on. Pure.

An answer that a person wrote or accepted is marked so; what only the service said is a draft.
"""

import json
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Any, Final, Literal

from cluster.records import Feedback, Trace
from training.data.traces import TraceRule, row_of_trace

__all__ = ["DatasetKind", "TopicRows", "json_lines", "topic_rows"]

DatasetKind = Literal["eval", "fine-tune"]
_NO_RULE: Final = TraceRule()


@dataclass(frozen=True, slots=True)
class TopicRows:
    """The rows, and what they were made of."""

    rows: list[dict[str, Any]]
    drafts: int
    """Rows whose answer no person wrote or accepted."""
    sources: list[str]
    """Ids of the traces and of the feedback."""


def topic_rows(
    traces: Iterable[Trace],
    feedback: Mapping[str, Sequence[Feedback]],
    kind: DatasetKind,
    *,
    drafts: bool,
) -> TopicRows:
    """One row for each question, the newest request of it that can be used.

    `drafts`: take answers too that no person wrote or accepted.
    """
    found: dict[str, tuple[dict[str, Any], bool, list[str]]] = {}
    for trace in traces:
        question = (trace.question or "").strip()
        if not question:
            continue
        best = _accepted(feedback.get(trace.id, ()))
        answer = best.correction or trace.answer if best is not None else trace.answer
        if best is None and not (drafts and _usable(trace, kind)):
            continue
        if not (answer or "").strip() and kind == "fine-tune":
            continue
        metadata: dict[str, Any] = {"trace": trace.id}
        if best is not None:
            metadata["feedback"] = best.id
        row = _row(kind, question, answer or "", metadata, draft=best is None)
        known = found.get(question.casefold())
        if known is None or known[1] or best is not None:
            sources = [trace.id, *([best.id] if best is not None else [])]
            found[question.casefold()] = (row, best is None, sources)
    return TopicRows(
        [row for row, _, _ in found.values()],
        sum(draft for _, draft, _ in found.values()),
        [source for _, _, sources in found.values() for source in sources],
    )


def json_lines(rows: Iterable[Mapping[str, Any]]) -> bytes:
    """The rows as a file."""
    return "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows).encode()


def _row(
    kind: DatasetKind, question: str, answer: str, metadata: dict[str, Any], *, draft: bool
) -> dict[str, Any]:
    if kind == "fine-tune":
        messages = [
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
        return {"messages": messages, "metadata": metadata}
    return {"question": question, "answer": answer, "draft": draft, "metadata": metadata}


def _accepted(said: Sequence[Feedback]) -> Feedback | None:
    """The newest correction that was accepted, else the newest accepted praise."""
    accepted = [one for one in said if one.review == "accepted"]
    good = [one for one in accepted if one.correction] or [
        one for one in accepted if one.thumbs == "up"
    ]
    return max(good, key=lambda one: one.updated_at, default=None)


def _usable(trace: Trace, kind: DatasetKind) -> bool:
    """An eval set asks every question; a model learns from whole answers alone."""
    if kind == "eval":
        return True
    shown = {
        "id": trace.id,
        "question": trace.question,
        "answer": trace.answer,
        "status": trace.status,
        "refused": trace.refused,
    }
    return row_of_trace(shown, _NO_RULE) is not None
