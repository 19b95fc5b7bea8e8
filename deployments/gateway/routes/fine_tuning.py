"""`/v1/fine_tuning/jobs`: the row is the job. Whoever runs it does so from the database.

A job that was answered for is kept; `cancel`, `pause` and `resume` are wishes that the run hears
within a second, while its data is prepared too.
"""

from typing import Annotated, Final

from fastapi import APIRouter, Depends, Query
from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.ids import new_id
from cluster.records import (
    FineTuningCheckpoint,
    FineTuningEvent,
    FineTuningJob,
    StoredFile,
    now,
)
from deployments.errors import InvalidRequest, NotFound
from deployments.gateway.attachments import find_file
from deployments.gateway.fine_tuning.bodies import JobCreate
from deployments.gateway.fine_tuning.gates import gate_settings
from deployments.gateway.fine_tuning.objects import CheckpointObject, EventObject, JobObject
from deployments.gateway.fine_tuning.planning import planned_method, planned_run
from deployments.gateway.pages import Page, PageQuery, PageQueryDependency, take_page
from deployments.gateway.services import Services, services
from training.queue.ledger import job_event

__all__ = ["router"]

router = APIRouter(prefix="/v1/fine_tuning/jobs", tags=["Fine-tuning"])
Parts = Annotated[Services, Depends(services)]
PageOf = Annotated[PageQuery, Depends(PageQueryDependency)]
_PURPOSE: Final = "fine-tune"
_WAITING: Final = ("queued", "paused")
_ENDED: Final = ("succeeded", "failed", "cancelled")


@router.post("", summary="Create a fine-tuning job")
async def create_job(body: JobCreate, parts: Parts) -> JobObject:
    """Queue a job. What can be known to be wrong is refused now; the data is read by the run."""
    target = await parts.directory.resolve(body.model)
    wanted = body.model_copy(update={"model": target.name})
    model = next(model for model in parts.settings.models if model.id == target.base)
    job_id = new_id("ftjob")
    settings = planned_run(wanted, job_id, model)
    gate = None
    if body.alias is not None:
        await parts.directory.resolve(body.alias, "alias")
        gate = {"alias": body.alias, "settings": gate_settings(body.gate)}

    def make(session: Session) -> JobObject:
        for field in ("training_file", "validation_file", "evaluation_file"):
            if (file_id := getattr(body, field)) is not None:
                _check_file(session, field, file_id)
        row = FineTuningJob(
            id=job_id,
            status="queued",
            model=target.base,
            training_file=body.training_file,
            validation_file=body.validation_file,
            evaluation_file=body.evaluation_file,
            suffix=body.suffix,
            method=planned_method(body).model_dump(exclude_none=True),
            meta=body.metadata or {},
            settings=settings.model_dump(mode="json"),
            gate=gate,
            created_at=now(),
        )
        session.add(row)
        session.flush()
        session.add(job_event(row.id, "Created; waiting for its turn."))
        return JobObject.of(row)

    made = await parts.database.run(make)
    await parts.wake_trainer()
    return made


@router.get("", summary="List fine-tuning jobs")
async def list_jobs(
    parts: Parts,
    page: PageOf,
    status: Annotated[str | None, Query(description="Only jobs with this status.")] = None,
) -> Page[JobObject]:
    """List jobs, newest first; settings and reports are with each one alone."""

    def read(session: Session) -> Page[JobObject]:
        query = select(FineTuningJob)
        if status is not None:
            query = query.where(FineTuningJob.status == status)
        rows, has_more = take_page(session, query, FineTuningJob.id, page)
        found = [JobObject.of(row, whole=False) for row in rows]
        return Page[JobObject].of(found, has_more=has_more)

    return await parts.database.run(read, read_only=True)


@router.get("/{job_id}", summary="Retrieve a fine-tuning job")
async def retrieve_job(job_id: str, parts: Parts) -> JobObject:
    """Describe one job."""
    return await parts.database.run(
        lambda session: JobObject.of(_find(session, job_id)), read_only=True
    )


@router.post("/{job_id}/cancel", summary="Cancel a fine-tuning job")
async def cancel_job(job_id: str, parts: Parts) -> JobObject:
    """End a job. A running one writes a checkpoint first, whose adapter can be used."""

    def cancel(session: Session) -> JobObject:
        row = _find(session, job_id, lock=True)
        if row.status in _ENDED:
            raise InvalidRequest(
                f"The job {job_id} has ended: it is {row.status}.", code="job_ended"
            )
        if row.status in _WAITING:
            row.status, row.finished_at, row.wish = "cancelled", now(), None
            session.add(job_event(job_id, "Cancelled before it ran."))
        elif row.wish != "cancel":
            row.wish = "cancel"
            session.add(job_event(job_id, "Asked to stop; a checkpoint will be written."))
        return JobObject.of(row)

    made = await parts.database.run(cancel)
    await parts.wake_trainer()
    return made


@router.post("/{job_id}/pause", summary="Pause a fine-tuning job")
async def pause_job(job_id: str, parts: Parts) -> JobObject:
    """Stop a job at a checkpoint and give its workers back until it is resumed."""

    def pause(session: Session) -> JobObject:
        row = _find(session, job_id, lock=True)
        if row.status == "queued":
            row.status = "paused"
            session.add(job_event(job_id, "Paused before it ran."))
        elif row.status == "running" and row.wish == "cancel":
            raise InvalidRequest(
                f"The job {job_id} is being cancelled, and is not paused besides; a cancelled job "
                "goes on from its last checkpoint too, when it is resumed.",
                code="job_cancelling",
            )
        elif row.status == "running":
            row.wish = "pause"
            session.add(job_event(job_id, "Asked to pause; a checkpoint will be written."))
        elif row.status != "paused":
            raise InvalidRequest(
                f"The job {job_id} has ended: it is {row.status}.", code="job_ended"
            )
        return JobObject.of(row)

    return await parts.database.run(pause)


@router.post("/{job_id}/resume", summary="Resume a fine-tuning job")
async def resume_job(job_id: str, parts: Parts) -> JobObject:
    """Go on from the last checkpoint; of a failed or cancelled job too, where its data stands."""

    def resume(session: Session) -> JobObject:
        row = _find(session, job_id, lock=True)
        if row.status in {"succeeded", "running"} and row.wish is None:
            raise InvalidRequest(
                f"The job {job_id} is {row.status}; paused, failed and cancelled jobs go on.",
                code="job_not_paused",
            )
        if row.status == "running":
            row.wish = None
        else:
            row.status, row.error, row.finished_at = "queued", None, None
            row.wish, row.crashes, row.not_before = None, 0, 0
            session.add(job_event(job_id, "Resumed; goes on from its last checkpoint."))
        return JobObject.of(row)

    made = await parts.database.run(resume)
    await parts.wake_trainer()
    return made


@router.get("/{job_id}/events", summary="List a job's events")
async def list_events(job_id: str, parts: Parts, page: PageOf) -> Page[EventObject]:
    """List what a job tells, newest first: messages, and metrics of its steps."""

    def read(session: Session) -> Page[EventObject]:
        _find(session, job_id)
        query = select(FineTuningEvent).where(FineTuningEvent.job_id == job_id)
        rows, has_more = take_page(session, query, FineTuningEvent.id, page)
        return Page[EventObject].of([EventObject.of(row) for row in rows], has_more=has_more)

    return await parts.database.run(read, read_only=True)


@router.get("/{job_id}/checkpoints", summary="List a job's checkpoints")
async def list_checkpoints(job_id: str, parts: Parts, page: PageOf) -> Page[CheckpointObject]:
    """List a job's checkpoints, newest first. Each one's adapter answers under its own id."""

    def read(session: Session) -> Page[CheckpointObject]:
        _find(session, job_id)
        query = select(FineTuningCheckpoint).where(FineTuningCheckpoint.job_id == job_id)
        rows, has_more = take_page(session, query, FineTuningCheckpoint.id, page)
        found = [CheckpointObject.of(row) for row in rows]
        return Page[CheckpointObject].of(found, has_more=has_more)

    return await parts.database.run(read, read_only=True)


def _find(session: Session, job_id: str, *, lock: bool = False) -> FineTuningJob:
    query = select(FineTuningJob).where(FineTuningJob.id == job_id)
    row = session.scalar(query.with_for_update() if lock else query)
    if row is None:
        raise NotFound(
            f"No such fine-tuning job: {job_id[:128]}.", param="job_id", code="not_found"
        )
    return row


def _check_file(session: Session, field: str, file_id: str) -> StoredFile:
    try:
        row = find_file(session, file_id)
    except NotFound as error:
        raise NotFound(error.message, param=field, code="not_found") from None
    if row.purpose != _PURPOSE:
        raise InvalidRequest(
            f"{field} {file_id} was uploaded for {row.purpose}; allowed: {_PURPOSE}.",
            param=field,
            code="invalid_value",
        )
    return row
