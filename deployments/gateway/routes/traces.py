"""`/v1/traces`: what requests did."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from cluster.ids import DEFAULT_PROJECT
from cluster.records import Trace, TraceScore
from deployments.errors import NotFound
from deployments.gateway.pages import Page, PageQuery, PageQueryDependency, take_page
from deployments.gateway.services import Services, services
from deployments.gateway.trace_objects import TraceObject

__all__ = ["router"]

router = APIRouter(prefix="/v1/traces", tags=["Traces"])


@router.get("", summary="List traces")
async def list_traces(
    parts: Annotated[Services, Depends(services)],
    page: Annotated[PageQuery, Depends(PageQueryDependency)],
    route: Annotated[str | None, Query(description="Only this route's.")] = None,
    model: Annotated[str | None, Query(description="Only this model's.")] = None,
) -> Page[TraceObject]:
    """List traces, newest first."""
    await parts.traces.flush()

    def read(session: Session) -> Page[TraceObject]:
        query = select(Trace).where(Trace.project_id == DEFAULT_PROJECT)
        if route is not None:
            query = query.where(Trace.route == route)
        if model is not None:
            query = query.where(Trace.model == model)
        rows, has_more = take_page(session, query, Trace.id, page)
        return Page[TraceObject].of(_described(session, rows), has_more=has_more)

    return await parts.database.run(read, read_only=True)


@router.get("/{trace_id}", summary="Retrieve a trace")
async def retrieve_trace(
    trace_id: str, parts: Annotated[Services, Depends(services)]
) -> TraceObject:
    """Describe what a request did, by its `x-trace-id` or its `x-request-id`."""

    def read(session: Session) -> TraceObject | None:
        row = session.scalar(
            select(Trace)
            .where(
                Trace.project_id == DEFAULT_PROJECT,
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
        raise NotFound(f"No such trace: {trace_id[:128]}.", param="trace_id", code="not_found")
    return found


def _described(session: Session, rows: list[Trace]) -> list[TraceObject]:
    scores: dict[str, list[TraceScore]] = {row.id: [] for row in rows}
    query = select(TraceScore).where(TraceScore.trace_id.in_(scores)).order_by(TraceScore.name)
    for score in session.scalars(query):
        scores[score.trace_id].append(score)
    return [TraceObject.of(row, scores[row.id]) for row in rows]
