"""`/v1/traces`: what requests did."""

import asyncio
from dataclasses import asdict
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from cluster.audit import record
from cluster.records import Trace, TraceScore
from deployments.errors import NotFound
from deployments.feedback.reading import feedback_of
from deployments.gateway.objects import Deleted
from deployments.gateway.pages import Page, PageQuery, PageQueryDependency, take_page
from deployments.gateway.parameters import known_parameters
from deployments.gateway.purging import tell_backups
from deployments.gateway.services import Services, services
from deployments.gateway.trace_filters import TraceFilters
from deployments.gateway.trace_objects import TraceObject
from deployments.gateway.trace_stats import GroupBy, TraceStats, read_stats
from deployments.tracing.deletion import delete_traces

__all__ = ["router"]

router = APIRouter(prefix="/v1/traces", tags=["Traces"], dependencies=[Depends(known_parameters)])

Parts = Annotated[Services, Depends(services)]
Filters = Annotated[TraceFilters, Depends()]


@router.get("", summary="List traces")
async def list_traces(
    parts: Parts, page: Annotated[PageQuery, Depends(PageQueryDependency)], filters: Filters
) -> Page[TraceObject]:
    """List the traces that all filters leave, newest first."""
    await parts.traces.flush()

    def read(session: Session) -> Page[TraceObject]:
        rows, has_more = take_page(session, filters.narrow(select(Trace)), Trace.id, page)
        return Page[TraceObject].of(_described(session, rows), has_more=has_more)

    return await parts.database.run(read, read_only=True)


@router.get("/stats", summary="Figures over traces")
async def trace_stats(
    parts: Parts,
    filters: Filters,
    group_by: Annotated[GroupBy | None, Query(description="Figures by this too.")] = None,
) -> TraceStats:
    """Requests, errors, refusals, latency, tokens and cost; without `since` of the last day."""
    await parts.traces.flush()
    counts = asdict(parts.traces.counts())
    return await parts.database.run(
        lambda session: read_stats(session, filters, group_by, counts), read_only=True
    )


@router.get("/{trace_id}", summary="Retrieve a trace")
async def retrieve_trace(trace_id: str, parts: Parts) -> TraceObject:
    """Describe what a request did, by its `x-trace-id` or its `x-request-id`."""

    def read(session: Session) -> TraceObject | None:
        row = session.scalar(
            select(Trace)
            .where(
                or_(Trace.id == trace_id, Trace.request_id == trace_id),
            )
            .order_by(Trace.id.desc())
            .limit(1)
        )
        return _described(session, [row])[0] if row is not None else None

    await parts.traces.flush()
    found = await parts.database.run(read, read_only=True)
    if found is None:  # another replica may hold it: it writes within its flush interval
        await asyncio.sleep(2 * parts.settings.tracing.flush_interval_s)
        found = await parts.database.run(read, read_only=True)
    if found is None:
        raise _missing(trace_id)
    return found


@router.delete("/{trace_id}", summary="Delete a trace")
async def delete_trace(trace_id: str, parts: Parts) -> Deleted:
    """Delete a trace with its scores and feedback.

    A stored response stays; so does what a model has learnt from it.
    """

    def forget(session: Session) -> int:
        known = session.scalar(select(Trace.id).where(Trace.id == trace_id))
        if known is None:
            return 0
        count = delete_traces(session, [trace_id])
        record(session, "trace.deleted", trace_id)
        return count

    await parts.traces.flush()
    if not await parts.database.run(forget):
        raise _missing(trace_id)
    await tell_backups(parts.note_deletion, "trace", trace_id)
    return Deleted(id=trace_id, object="trace")


def _described(session: Session, rows: list[Trace]) -> list[TraceObject]:
    scores: dict[str, list[TraceScore]] = {row.id: [] for row in rows}
    query = select(TraceScore).where(TraceScore.trace_id.in_(scores)).order_by(TraceScore.name)
    for score in session.scalars(query):
        scores[score.trace_id].append(score)
    feedback = feedback_of(session, scores)
    return [TraceObject.of(row, scores[row.id], feedback[row.id]) for row in rows]


def _missing(trace_id: str) -> NotFound:
    return NotFound(f"No such trace: {trace_id[:128]}.", param="trace_id", code="not_found")
