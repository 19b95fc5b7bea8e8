"""`/v1/gate_runs`: an adapter or an arm against what an alias answers by, and what came of it."""

import asyncio
from typing import Annotated, Any

from fastapi import APIRouter, Depends, Query
from pydantic import AfterValidator, Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.arms import read_arm_reference
from cluster.ids import new_id
from cluster.records import GateRun, now
from deployments.errors import InvalidRequest, NotFound
from deployments.experiments.changes import version_compared
from deployments.gateway.attachments import find_file
from deployments.gateway.bodies import Body, FileId, Text, tree
from deployments.gateway.fine_tuning.gates import gate_settings
from deployments.gateway.pages import Page, PageQuery, PageQueryDependency, take_page
from deployments.gateway.registry.objects import GateRunObject
from deployments.gateway.report_pages import ReportPage
from deployments.gateway.services import Services, services

__all__ = ["router"]

router = APIRouter(prefix="/v1/gate_runs", tags=["Gate"])
Parts = Annotated[Services, Depends(services)]


class GateCreate(Body):
    """Compare an adapter with what an alias answers by."""

    adapter: Annotated[Text, Field(min_length=1, max_length=256)]
    """Id of an adapter, or `arm:EXPERIMENT:ARM` of an experiment on the alias: then model, prompt
    and retrieval are compared with the experiment's control."""
    alias: Annotated[str, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    evaluation_file: FileId
    settings: Annotated[dict[str, Any], AfterValidator(tree)] = Field(default_factory=dict)


@router.post("", summary="Create a gate run")
async def create_gate_run(body: GateCreate, parts: Parts) -> GateRunObject:
    """Queue a comparison. Where it says to promote, the alias moves by itself."""
    target = await parts.directory.resolve(body.adapter, "adapter")
    arm = read_arm_reference(body.adapter)
    if arm is not None:
        experiment_id, _ = arm
        await parts.database.run(
            lambda session: version_compared(session, experiment_id, body.alias), read_only=True
        )
    elif target.adapter is None or target.alias is not None:
        raise InvalidRequest(
            f"adapter is {body.adapter[:128]!r}; the gate compares an adapter version "
            "or an arm of an experiment.",
            param="adapter",
            code="invalid_value",
        )
    await parts.directory.resolve(body.alias, "alias")
    settings = gate_settings(body.settings)

    def make(session: Session) -> GateRunObject:
        find_file(session, body.evaluation_file)
        row = GateRun(
            id=new_id("gate"),
            status="queued",
            alias=body.alias,
            adapter_id=target.name if arm is None else body.adapter,
            evaluation_file=body.evaluation_file,
            settings=settings,
            created_at=now(),
        )
        session.add(row)
        session.flush()
        return GateRunObject.of(row)

    made = await parts.database.run(make)
    await parts.wake_trainer()
    return made


@router.get("", summary="List gate runs")
async def list_gate_runs(
    parts: Parts,
    page: Annotated[PageQuery, Depends(PageQueryDependency)],
    alias: Annotated[str | None, Query(description="Only those for this alias.")] = None,
    adapter: Annotated[str | None, Query(description="Only those of this adapter.")] = None,
) -> Page[GateRunObject]:
    """List gate runs, newest first, without their reports."""

    def read(session: Session) -> Page[GateRunObject]:
        query = select(GateRun)
        if alias is not None:
            query = query.where(GateRun.alias == alias)
        if adapter is not None:
            query = query.where(GateRun.adapter_id == adapter)
        rows, has_more = take_page(session, query, GateRun.id, page)
        found = [GateRunObject.of(row, whole=False) for row in rows]
        return Page[GateRunObject].of(found, has_more=has_more)

    return await parts.database.run(read, read_only=True)


@router.get("/{gate_id}", summary="Retrieve a gate run")
async def retrieve_gate_run(gate_id: str, parts: Parts) -> GateRunObject:
    """Describe a gate run, with its whole report once it has one."""
    return await parts.database.run(
        lambda session: GateRunObject.of(_find(session, gate_id)), read_only=True
    )


@router.get("/{gate_id}/page", summary="Read a gate run's report", response_class=ReportPage)
async def read_page(gate_id: str, parts: Parts) -> ReportPage:
    """The report as one readable page."""
    row = await parts.database.run(lambda session: _find(session, gate_id), read_only=True)
    if row.page_key is None:
        raise NotFound(f"The gate run {gate_id} is {row.status} and has no page yet.")
    page = await asyncio.to_thread(parts.storage.read, row.page_key)
    return ReportPage(page.decode())


def _find(session: Session, gate_id: str) -> GateRun:
    row = session.get(GateRun, gate_id)
    if row is None:
        raise NotFound(f"No such gate run: {gate_id[:128]}.", param="gate_id", code="not_found")
    return row
