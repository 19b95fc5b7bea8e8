"""Answers that were given before, from their traces, as the items of a run."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.records import Trace
from deployments.evaluation.runs.samples import sample_json, sample_of_trace
from deployments.gateway.evals.bodies import StoredCompletions, StoredResponses
from deployments.gateway.evals.rows import Row

__all__ = ["STORED_ITEM_SCHEMA", "stored_rows"]

_ROUTES: Final = {"stored_completions": "/v1/chat/completions", "responses": "/v1/responses"}
_PAGE: Final = 500

STORED_ITEM_SCHEMA: Final[dict[str, Any]] = {
    "type": "object",
    "properties": {
        "input": {"type": "string"},
        "model": {"type": "string"},
        "trace_id": {"type": "string"},
        "created_at": {"type": "integer"},
        "metadata": {"type": "object"},
    },
    "required": ["input", "model", "trace_id", "created_at", "metadata"],
}
"""What `item` holds of a stored answer."""


def stored_rows(
    session: Session,
    source: StoredCompletions | StoredResponses,
    metadata: Mapping[str, Any],
    max_items: int,
) -> list[Row]:
    """The newest answers that the source asks for, in the order in which they were given.

    Only whole answers with their texts count, and none that were asked by a run.
    """
    wanted = {**metadata, **(source.metadata or {})}
    most = min(source.limit or max_items, max_items)
    query = select(Trace).where(
        Trace.route == _ROUTES[source.type],
        Trace.status == 200,
        Trace.question.is_not(None),
        Trace.answer.is_not(None),
    )
    if source.created_after is not None:
        query = query.where(Trace.created_at >= source.created_after)
    if source.created_before is not None:
        query = query.where(Trace.created_at <= source.created_before)
    found: list[Trace] = []
    last: str | None = None
    while len(found) < most:
        page = query if last is None else query.where(Trace.id < last)
        traces = list(session.scalars(page.order_by(Trace.id.desc()).limit(_PAGE)))
        found += [trace for trace in traces if _is_wanted(trace, source.model, wanted)]
        if len(traces) < _PAGE:
            break
        last = traces[-1].id
    return [_row(trace) for trace in reversed(found[:most])]


def _is_wanted(trace: Trace, model: str | None, metadata: Mapping[str, Any]) -> bool:
    if trace.body.get("background"):
        return False
    if model is not None and model not in {trace.model, trace.alias}:
        return False
    given = trace.body.get("metadata") or {}
    return all(given.get(name) == value for name, value in metadata.items())


def _row(trace: Trace) -> Row:
    item = {
        "input": trace.question,
        "model": trace.model,
        "trace_id": trace.id,
        "created_at": trace.created_at,
        "metadata": trace.body.get("metadata") or {},
    }
    return Row(item, sample_json(sample_of_trace(trace)))
