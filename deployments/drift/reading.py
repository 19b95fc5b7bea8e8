"""Reads windows of requests out of the traces. Ids sort by the time a request began.

A request that was still under way when its window was read is in no window: that costs a few of
each, and no look has to wait for the slowest.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import String, cast, func, select
from sqlalchemy.orm import Session
from sqlalchemy.sql import ColumnElement

from cluster.records import Feedback, Trace
from deployments.drift.plan import TraceFilters
from deployments.drift.signals import Observed, feedback_value, observe

__all__ = ["Span", "count_requests", "read_requests"]

_CHUNK: Final = 400
_MOST_IDS: Final = 200_000


@dataclass(frozen=True, slots=True)
class Span:
    """Which requests: by id, by time, or both; what is None does not bound."""

    after: str | None = None
    """Not included."""
    until: str | None = None
    """Included."""
    begin: int | None = None
    """Seconds since 1970, included."""
    end: int | None = None
    """Not included."""


def count_requests(session: Session, filters: TraceFilters, span: Span) -> int:
    """How many there are."""
    query = select(func.count()).select_from(Trace).where(*_watched(filters), *_within(span))
    return int(session.scalar(query) or 0)


def read_requests(
    session: Session, filters: TraceFilters, span: Span, *, first: int | None = None, most: int
) -> tuple[list[Observed], int]:
    """The requests in their order, evenly sampled where there are more than `most`; and how many.

    `first`: only so many from the span's beginning.
    """
    limit = min(first or _MOST_IDS, _MOST_IDS)
    ids = list(
        session.scalars(
            select(Trace.id)
            .where(*_watched(filters), *_within(span))
            .order_by(Trace.id)
            .limit(limit)
        )
    )
    kept = ids if len(ids) <= most else [ids[i * len(ids) // most] for i in range(most)]
    found: list[Observed] = []
    for begin in range(0, len(kept), _CHUNK):
        found += _observed(session, kept[begin : begin + _CHUNK])
    return found, len(ids)


def _observed(session: Session, ids: Sequence[str]) -> list[Observed]:
    feedback: dict[str, list[Feedback]] = {}
    said = select(Feedback).where(Feedback.trace_id.in_(ids), Feedback.review != "rejected")
    for row in session.scalars(said):
        feedback.setdefault(row.trace_id, []).append(row)
    traces = session.scalars(select(Trace).where(Trace.id.in_(ids)).order_by(Trace.id))
    return [observe(trace, feedback_value(feedback.get(trace.id, ()))) for trace in traces]


def _watched(filters: TraceFilters) -> list[ColumnElement[bool]]:
    """Users' own requests: no shadow, and no background request of an evaluation."""
    clauses: list[ColumnElement[bool]] = [
        Trace.question.is_not(None),
        Trace.shadow_of.is_(None),
        Trace.body["background"].as_boolean().is_not(True),
    ]
    for column, wanted in (
        (Trace.alias, filters.alias),
        (Trace.model, filters.model),
        (Trace.route, filters.route),
    ):
        if wanted is not None:
            clauses.append(column == wanted)
    if filters.vector_store is not None:
        stores: Any = cast(Trace.body["vector_store_ids"], String)
        clauses.append(stores.contains(f'"{filters.vector_store}"', autoescape=True))
    return clauses


def _within(span: Span) -> list[ColumnElement[bool]]:
    clauses: list[ColumnElement[bool]] = []
    if span.after is not None:
        clauses.append(Trace.id > span.after)
    if span.until is not None:
        clauses.append(Trace.id <= span.until)
    if span.begin is not None:
        clauses.append(Trace.created_at >= span.begin)
    if span.end is not None:
        clauses.append(Trace.created_at < span.end)
    return clauses
