"""Feedback of traces, as the API shows it."""

from collections.abc import Iterable
from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.records import Feedback
from deployments.errors import NotFound
from deployments.feedback.objects import FeedbackObject

__all__ = ["feedback_of", "find_feedback"]


def feedback_of(session: Session, trace_ids: Iterable[str]) -> dict[str, list[dict[str, Any]]]:
    """By each trace's id what was said of it, the oldest first; an empty list where nothing was."""
    said: dict[str, list[dict[str, Any]]] = {trace_id: [] for trace_id in trace_ids}
    query = select(Feedback).where(Feedback.trace_id.in_(said))
    for row in session.scalars(query.order_by(Feedback.id)):
        said[row.trace_id].append(FeedbackObject.of(row).model_dump(exclude={"trace"}))
    return said


def find_feedback(session: Session, feedback_id: str, *, lock: bool = False) -> Feedback:
    """One of this id. NotFound where this project has none."""
    query = select(Feedback).where(Feedback.id == feedback_id)
    row = session.scalar(query.with_for_update() if lock else query)
    if row is None:
        raise NotFound(
            f"No such feedback: {feedback_id[:128]}.", param="feedback_id", code="not_found"
        )
    return row
