"""Writing feedback: one row for each trace, name, source and user."""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.ids import new_id
from cluster.records import Feedback, Trace, now
from deployments.errors import Conflict, InvalidRequest
from deployments.feedback.bodies import PARTS, Part, Review
from deployments.feedback.finding import no_such_trace
from deployments.feedback.reading import find_feedback

__all__ = ["Opinion", "save_opinion", "save_review"]


@dataclass(frozen=True, slots=True)
class Opinion:
    """What somebody says of one trace."""

    trace_id: str
    parts: Mapping[Part, Any]
    """What is said; None takes it back, and what is absent stays."""
    name: str = "feedback"
    source: Literal["api", "end_user"] = "api"
    user_id: str | None = None
    metadata: Mapping[str, str] | None = None
    """None: as it was."""


def save_opinion(session: Session, opinion: Opinion) -> Feedback:
    """Keep it, in place of what the same user said of the same before.

    Changed feedback waits for a review again. Its trace is locked meanwhile, so that two who say
    the same at once make one row. Raises NotFound where the trace is gone, and InvalidRequest where
    nothing would be left of what was said.
    """
    trace = select(Trace.id).where(Trace.id == opinion.trace_id)
    if session.scalar(trace.with_for_update()) is None:
        raise no_such_trace("trace_id", opinion.trace_id)
    row = session.scalar(
        select(Feedback).where(
            Feedback.trace_id == opinion.trace_id,
            Feedback.name == opinion.name,
            Feedback.source == opinion.source,
            Feedback.user_id == opinion.user_id
            if opinion.user_id is not None
            else Feedback.user_id.is_(None),
        )
    )
    before = None if row is None else [getattr(row, name) for name in PARTS]
    if row is None:
        at = now()
        row = Feedback(
            id=new_id("fb"),
            trace_id=opinion.trace_id,
            name=opinion.name,
            source=opinion.source,
            user_id=opinion.user_id,
            review="pending",
            meta={},
            created_at=at,
            updated_at=at,
        )
    for name, value in opinion.parts.items():
        setattr(row, name, value)
    after = [getattr(row, name) for name in PARTS]
    if all(value is None for value in after):
        raise InvalidRequest(
            f"Nothing would be left of it: at least one of {', '.join(PARTS)} is needed. "
            "DELETE /v1/feedback/{id} removes it.",
            code="invalid_value",
        )
    changed = opinion.metadata is not None and dict(opinion.metadata) != row.meta
    if opinion.metadata is not None:
        row.meta = dict(opinion.metadata)
    if before is not None and before != after:
        row.review, row.reviewer, row.reviewed_at = "pending", None, None
        changed = True
    if before is not None and changed:
        row.updated_at = now()
    session.add(row)
    session.flush()
    return row


def save_review(session: Session, feedback_id: str, body: Review) -> Feedback:
    """Keep what a reviewer decided. Raises NotFound, and Conflict where it is not as it was."""
    row = find_feedback(session, feedback_id, lock=True)
    if body.updated_at is not None and body.updated_at != row.updated_at:
        raise Conflict(
            f"{row.id} has changed since: it was updated at {row.updated_at}, not at "
            f"{body.updated_at}. Look at it again.",
            param="updated_at",
            code="changed",
        )
    at = now()
    if body.correction is not None and body.correction != row.correction:
        row.correction, row.updated_at = body.correction, at
    row.review, row.reviewer, row.reviewed_at = body.review, body.reviewer, at
    return row
