"""What a request shows of itself: numbers that are compared window by window."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from deployments.drift.plan import SCALARS

if TYPE_CHECKING:
    from numpy.typing import NDArray

    from cluster.records import Feedback, Trace

__all__ = ["Observed", "feedback_value", "observe", "values_of"]

_ANSWERED: Final = 200


@dataclass(frozen=True, slots=True)
class Observed:
    """One request."""

    trace_id: str
    at: int
    """Seconds since 1970."""
    question: str | None
    values: Mapping[str, float] = field(default_factory=dict)
    """By the signal's name; one that does not apply is not there."""


def observe(trace: "Trace", feedback: float | None) -> Observed:
    """Read a trace; `feedback` is what people said of it, 0 to 1."""
    found: dict[str, float | None] = {
        "retrieval_score": _best_score(trace.body),
        "answer_length": float(len(trace.answer)) if trace.answer else None,
        "refusals": None if trace.refused is None else float(trace.refused),
        "unsupported": _unsupported(trace.body),
        "feedback": feedback,
        "cost": trace.cost,
        "latency": trace.duration_ms / 1000 if trace.status == _ANSWERED else None,
    }
    return Observed(
        trace.id,
        trace.created_at,
        (trace.question or "").strip() or None,
        {name: value for name, value in found.items() if value is not None},
    )


def feedback_value(rows: "Sequence[Feedback]") -> float | None:
    """The mean of what people said of an answer: thumbs as 0 and 1, else the score."""
    said = [
        float(row.thumbs == "up") if row.thumbs is not None else row.score
        for row in rows
        if row.thumbs is not None or row.score is not None
    ]
    known = [value for value in said if value is not None]
    return sum(known) / len(known) if known else None


def values_of(requests: Sequence[Observed], name: str) -> "NDArray[Any]":
    """The signal's values of those requests that have one."""
    import numpy as np

    assert name in SCALARS  # noqa: S101 - embeddings are no numbers
    return np.array([one.values[name] for one in requests if name in one.values], dtype=float)


def _best_score(body: Mapping[str, Any]) -> float | None:
    """Of the passages that a search found, used or not; None where nothing was searched.

    The cosine: a fused score cannot be compared between questions.
    """
    if "passages" not in body:
        return None
    found = (*body["passages"], *body.get("left_out", ()))
    for kind in ("dense_score", "score"):
        scores = [float(one[kind]) for one in found if one.get(kind) is not None]
        if scores:
            return max(scores)
    return 0.0


def _unsupported(body: Mapping[str, Any]) -> float | None:
    """Share of the answer's checkable sentences that no passage supports."""
    checkable = [one for one in body.get("sentences", ()) if one.get("checkable")]
    if checkable:
        return sum(not one["supported"] for one in checkable) / len(checkable)
    groundedness = body.get("groundedness")
    return None if groundedness is None else 1.0 - float(groundedness)
