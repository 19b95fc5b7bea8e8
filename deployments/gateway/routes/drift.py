"""`/v1/drift`: monitors, what they found, and data sets of topics that moved."""

import asyncio
import io
from collections.abc import Iterable
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Request
from sqlalchemy import delete, select
from sqlalchemy.orm import Session

from cluster.audit import record
from cluster.errors import DatabaseError
from cluster.ids import new_id
from cluster.records import (
    DriftMonitor,
    DriftReport,
    Feedback,
    StoredFile,
    Trace,
    now,
)
from cluster.tenancy import acting_project
from deployments.drift.dataset import TopicRows, json_lines, topic_rows
from deployments.drift.plan import MonitorPlan
from deployments.drift.report import LookReport, TopicReport
from deployments.errors import InvalidRequest, NotFound, RequestError
from deployments.gateway.access.identity import identity_of
from deployments.gateway.drift_objects import (
    DatasetCreate,
    DatasetMade,
    MonitorCreate,
    MonitorObject,
    MonitorUpdate,
    ReportObject,
)
from deployments.gateway.objects import Deleted, FileObject
from deployments.gateway.pages import Page, PageQuery, PageQueryDependency, take_page
from deployments.gateway.parameters import known_parameters
from deployments.gateway.purging import delete_bytes
from deployments.gateway.report_pages import ReportPage
from deployments.gateway.services import Services, services
from deployments.gateway.training_files import check_training_file
from deployments.limits.stored_bytes import Room
from deployments.lineage.edges import Edge, add_edges, edges_of_sources

__all__ = ["router"]

router = APIRouter(prefix="/v1/drift", tags=["Drift"], dependencies=[Depends(known_parameters)])
Parts = Annotated[Services, Depends(services)]
PageOf = Annotated[PageQuery, Depends(PageQueryDependency)]
_PURPOSES = {"eval": "evals", "fine-tune": "fine-tune"}


@router.post("/monitors", summary="Create a drift monitor", status_code=201)
async def create_monitor(body: MonitorCreate, parts: Parts) -> MonitorObject:
    """Watch the requests that match from now on, against a reference."""
    await _check_names(parts, body.settings)

    def make(session: Session) -> MonitorObject:
        row = DriftMonitor(
            id=new_id("monitor"),
            name=body.name,
            settings=body.settings.model_dump(mode="json"),
        )
        session.add(row)
        session.flush()
        return MonitorObject.of(row)

    return await parts.database.run(make)


@router.get("/monitors", summary="List drift monitors")
async def list_monitors(parts: Parts, page: PageOf) -> Page[MonitorObject]:
    """List monitors, newest first."""

    def read(session: Session) -> Page[MonitorObject]:
        query = select(DriftMonitor)
        rows, has_more = take_page(session, query, DriftMonitor.id, page)
        return Page[MonitorObject].of([MonitorObject.of(row) for row in rows], has_more=has_more)

    return await parts.database.run(read, read_only=True)


@router.get("/monitors/{monitor_id}", summary="Retrieve a drift monitor")
async def retrieve_monitor(monitor_id: str, parts: Parts) -> MonitorObject:
    """Describe one monitor, and why its last look failed where it did."""
    return await parts.database.run(
        lambda session: MonitorObject.of(_monitor(session, monitor_id)), read_only=True
    )


@router.post("/monitors/{monitor_id}", summary="Update a drift monitor")
async def update_monitor(monitor_id: str, body: MonitorUpdate, parts: Parts) -> MonitorObject:
    """Change its name or its settings. Other settings begin anew, reference and all."""
    if body.settings is not None:
        await _check_names(parts, body.settings)

    def change(session: Session) -> MonitorObject:
        row = _monitor(session, monitor_id, lock=True)
        if body.name is not None:
            row.name = body.name
        if body.settings is not None:
            settings = body.settings.model_dump(mode="json")
            if settings != row.settings:
                row.settings, row.state, row.error = settings, {}, None
                _due(row)
        row.updated_at = now()
        return MonitorObject.of(row)

    return await parts.database.run(change)


@router.delete("/monitors/{monitor_id}", summary="Delete a drift monitor")
async def delete_monitor(monitor_id: str, parts: Parts) -> Deleted:
    """Delete a monitor with its reports; its alerts and data sets stay."""

    def remove(session: Session) -> None:
        row = _monitor(session, monitor_id, lock=True)
        session.execute(delete(DriftReport).where(DriftReport.monitor_id == monitor_id))
        session.delete(row)
        record(session, "drift.monitor_deleted", monitor_id)

    await parts.database.run(remove)
    return Deleted(id=monitor_id, object="drift.monitor")


@router.post("/monitors/{monitor_id}/pause", summary="Pause a drift monitor")
async def pause_monitor(monitor_id: str, parts: Parts) -> MonitorObject:
    """Look no more until it is resumed."""

    def change(session: Session) -> MonitorObject:
        row = _monitor(session, monitor_id, lock=True)
        row.status, row.lease_until, row.updated_at = "paused", None, now()
        return MonitorObject.of(row)

    return await parts.database.run(change)


@router.post("/monitors/{monitor_id}/resume", summary="Resume a drift monitor")
async def resume_monitor(monitor_id: str, parts: Parts) -> MonitorObject:
    """Look again; what came meanwhile is looked at too."""

    def change(session: Session) -> MonitorObject:
        row = _monitor(session, monitor_id, lock=True)
        row.status, row.updated_at = "active", now()
        _due(row)
        return MonitorObject.of(row)

    return await parts.database.run(change)


@router.post("/monitors/{monitor_id}/run", summary="Look now")
async def run_monitor(monitor_id: str, parts: Parts) -> MonitorObject:
    """Ask for a look at what has come, without waiting for the schedule.

    It is made within seconds: a report follows, or the monitor's `error` says why none can be.
    """

    def change(session: Session) -> MonitorObject:
        row = _monitor(session, monitor_id, lock=True)
        if row.status != "active":
            raise InvalidRequest(
                f"The monitor {row.id} is paused; resume it first.", code="monitor_paused"
            )
        row.state, row.error = {**row.state, "wanted": True}, None
        _due(row)
        return MonitorObject.of(row)

    return await parts.database.run(change)


@router.get("/monitors/{monitor_id}/reports", summary="List a monitor's reports")
async def list_reports(monitor_id: str, parts: Parts, page: PageOf) -> Page[ReportObject]:
    """List its looks, newest first, without the requests of their topics."""

    def read(session: Session) -> Page[ReportObject]:
        _monitor(session, monitor_id)
        query = select(DriftReport).where(DriftReport.monitor_id == monitor_id)
        rows, has_more = take_page(session, query, DriftReport.id, page)
        found = [ReportObject.of(row, whole=False) for row in rows]
        return Page[ReportObject].of(found, has_more=has_more)

    return await parts.database.run(read, read_only=True)


@router.get("/reports/{report_id}", summary="Retrieve a drift report")
async def retrieve_report(report_id: str, parts: Parts) -> ReportObject:
    """Signals with their levels, topics with example questions, and what was decided."""
    return await parts.database.run(
        lambda session: ReportObject.of(_report(session, report_id)), read_only=True
    )


@router.get("/reports/{report_id}/page", summary="Read a report", response_class=ReportPage)
async def read_page(report_id: str, parts: Parts) -> ReportPage:
    """The report as one readable page."""
    from deployments.drift.page import report_page

    def read(session: Session) -> tuple[str, DriftReport]:
        row = _report(session, report_id)
        return _monitor(session, row.monitor_id).name, row

    name, row = await parts.database.run(read, read_only=True)
    made = LookReport.model_validate(row.body)
    page = await asyncio.to_thread(report_page, made, name or row.monitor_id, row.created_at)
    return ReportPage(page)


@router.post("/reports/{report_id}/dataset", summary="Make a data set of a topic", status_code=201)
async def make_dataset(
    request: Request, report_id: str, body: DatasetCreate, parts: Parts
) -> DatasetMade:
    """Store a topic's requests as a file to evaluate with or to train on.

    An eval set has every question once, with a person's answer where one was accepted and else the
    service's own as a draft. A fine-tuning set has accepted answers alone unless `drafts` is true.
    """
    drafts = body.kind == "eval" if body.drafts is None else body.drafts

    def read(session: Session) -> tuple[TopicReport, TopicRows]:
        topic = LookReport.model_validate(_report(session, report_id).body).topic(body.topic)
        if topic is None:
            raise InvalidRequest(
                f"topic is {body.topic}; the report {report_id} has none of that number.",
                param="topic",
                code="invalid_value",
            )
        return topic, topic_rows(*_requests(session, topic), body.kind, drafts=drafts)

    topic, made = await parts.database.run(read, read_only=True)
    if not made.rows:
        raise InvalidRequest(
            f"None of the {len(topic.traces)} requests of topic {topic.number} can be a row: "
            "their answers have no accepted feedback. Review feedback first, or set `drafts`.",
            param="drafts",
            code="no_rows",
        )
    identity, content = identity_of(request), json_lines(made.rows)
    async with parts.limiter.storing(identity.project_id, identity.key_id, len(content)) as room:
        file = await _stored(parts, report_id, body, topic, content, made.sources, room)
    return DatasetMade(
        file=file, rows=len(made.rows), drafts=made.drafts, topic=topic.number, kind=body.kind
    )


def _requests(
    session: Session, topic: TopicReport
) -> tuple[list[Trace], dict[str, list[Feedback]]]:
    wanted = topic.traces
    traces = list(session.scalars(select(Trace).where(Trace.id.in_(wanted)).order_by(Trace.id)))
    feedback: dict[str, list[Feedback]] = {}
    for one in session.scalars(select(Feedback).where(Feedback.trace_id.in_(wanted))):
        feedback.setdefault(one.trace_id, []).append(one)
    return traces, feedback


async def _stored(
    parts: Services,
    report_id: str,
    body: DatasetCreate,
    topic: TopicReport,
    content: bytes,
    sources: Iterable[str],
    room: Room,
) -> FileObject:
    filename = body.filename or f"drift-topic-{topic.number}-{body.kind}.jsonl"
    meta: dict[str, Any] = {}
    if body.kind == "fine-tune":
        meta = await asyncio.to_thread(check_training_file, io.BytesIO(content), filename, None)
    file_id = new_id("file")
    key = f"{acting_project()}/{file_id}"
    stored = await asyncio.to_thread(parts.storage.put, key, [content])

    def write(session: Session) -> FileObject:
        room(session)
        row = StoredFile(
            id=file_id,
            filename=filename,
            purpose=_PURPOSES[body.kind],
            bytes=stored.size,
            sha256=stored.sha256,
            storage_key=key,
            created_at=now(),
            meta=meta,
        )
        session.add(row)
        session.flush()
        topic = Edge(report_id, file_id, "topic")
        add_edges(session, [*edges_of_sources(file_id, sources), topic])
        return FileObject.of(row)

    try:
        return await parts.database.run(write)
    except (DatabaseError, RequestError):
        await asyncio.to_thread(delete_bytes, parts.storage, key)
        raise


def _due(row: DriftMonitor) -> None:
    """Let the Monitor take it up now; a look that is under way no longer counts."""
    row.next_at, row.lease_until = 0, None


async def _check_names(parts: Services, plan: MonitorPlan) -> None:
    """Raise NotFound for an alias or model that there is not: its monitor would wait for ever."""
    filters = plan.filters
    for param, name in (("alias", filters.alias), ("model", filters.model)):
        if name is not None:
            await parts.directory.resolve(name, f"settings.filters.{param}")


def _monitor(session: Session, monitor_id: str, *, lock: bool = False) -> DriftMonitor:
    row = session.get(DriftMonitor, monitor_id, with_for_update=lock)
    if row is None:
        raise NotFound(
            f"No such drift monitor: {monitor_id[:128]}.", param="monitor_id", code="not_found"
        )
    return row


def _report(session: Session, report_id: str) -> DriftReport:
    row = session.get(DriftReport, report_id)
    if row is None:
        raise NotFound(
            f"No such drift report: {report_id[:128]}.", param="report_id", code="not_found"
        )
    return row
