"""How the API shows feedback."""

from typing import Any, Literal

from pydantic import BaseModel

from cluster.records import Feedback, Trace

__all__ = ["FeedbackObject", "TokenObject", "TraceSummary"]


class TraceSummary(BaseModel):
    """What feedback is on: the question, the answer, and who gave it."""

    id: str
    created_at: int
    route: str
    status: int
    question: str | None
    answer: str | None
    refused: bool | None
    model: str | None
    alias: str | None
    prompt_version: str | None
    experiment_id: str | None
    arm: str | None
    messages: list[dict[str, Any]] | None
    """As the model saw them, with passages; None where the trace keeps no text."""
    grounded: bool
    """Whether passages were searched for."""

    @classmethod
    def of(cls, row: Trace) -> "TraceSummary":
        """Make it from its record."""
        return cls(
            id=row.id,
            created_at=row.created_at,
            route=row.route,
            status=row.status,
            question=row.question,
            answer=row.answer,
            refused=row.refused,
            model=row.model,
            alias=row.alias,
            prompt_version=row.prompt_version,
            experiment_id=row.experiment_id,
            arm=row.arm,
            messages=_told(row.body),
            grounded="vector_store_ids" in row.body,
        )


def _told(body: dict[str, Any]) -> list[Any] | None:
    """What the model saw: what the client sent, unless a prompt or passages made more of it."""
    sent = body.get("input") or {}
    return body.get("messages") or (None if "cut_characters" in sent else sent.get("messages"))


class FeedbackObject(BaseModel):
    """What somebody said of an answer."""

    id: str
    object: Literal["feedback"] = "feedback"
    created_at: int
    updated_at: int
    trace_id: str
    name: str
    source: str
    user_id: str | None
    thumbs: str | None
    score: float | None
    correction: str | None
    comment: str | None
    review: str
    reviewer: str | None
    reviewed_at: int | None
    metadata: dict[str, Any]
    trace: TraceSummary | None = None
    """With `include[]=trace`, where the trace is still kept."""

    @classmethod
    def of(cls, row: Feedback, trace: Trace | None = None) -> "FeedbackObject":
        """Make it from its record, with what it is on where that is asked for."""
        return cls(
            id=row.id,
            created_at=row.created_at,
            updated_at=row.updated_at,
            trace_id=row.trace_id,
            name=row.name,
            source=row.source,
            user_id=row.user_id,
            thumbs=row.thumbs,
            score=row.score,
            correction=row.correction,
            comment=row.comment,
            review=row.review,
            reviewer=row.reviewer,
            reviewed_at=row.reviewed_at,
            metadata=row.meta,
            trace=None if trace is None else TraceSummary.of(trace),
        )


class TokenObject(BaseModel):
    """A token with which an end user may say something of these answers."""

    object: Literal["feedback.token"] = "feedback.token"
    token: str
    expires_at: int
    trace_ids: list[str]
    name: str
    allow: list[str]
