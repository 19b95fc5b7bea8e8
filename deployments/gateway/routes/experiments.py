"""`/v1/experiments`: an alias's traffic split between arms, and what comes of it.

A replica assigns by what an experiment was for a quarter of a second at most after it changed; the
routes that change one return once that has passed.
"""

import asyncio
from collections.abc import Callable
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.arms import arm_reference
from cluster.records import Experiment, ExperimentEvent
from deployments.errors import Conflict, InvalidRequest
from deployments.experiments import changes
from deployments.experiments.arms import Arm
from deployments.experiments.desk import DESK_TTL_S
from deployments.experiments.plan import Plan
from deployments.gateway.attachments import find_file
from deployments.gateway.experiments.bodies import (
    ExperimentCreate,
    ExperimentPromote,
    ExperimentRamp,
    ExperimentStop,
    ExperimentUpdate,
)
from deployments.gateway.experiments.objects import ExperimentEventObject, ExperimentObject
from deployments.gateway.experiments.pinning import check_arms, pinned_arms
from deployments.gateway.fine_tuning.gates import gate_settings
from deployments.gateway.pages import Page, PageQuery, PageQueryDependency, take_page
from deployments.gateway.parameters import known_parameters
from deployments.gateway.registry.moves import Move, current_alias
from deployments.gateway.routes.aliases import MovedAlias, move_alias
from deployments.gateway.services import Services, services

__all__ = ["router"]

router = APIRouter(
    prefix="/v1/experiments", tags=["Experiments"], dependencies=[Depends(known_parameters)]
)
Parts = Annotated[Services, Depends(services)]
PageOf = Annotated[PageQuery, Depends(PageQueryDependency)]


@router.post("", summary="Create an experiment")
async def create_experiment(body: ExperimentCreate, parts: Parts) -> ExperimentObject:
    """Keep a draft, or with `start` let it run at once. One runs on an alias at a time."""
    await parts.directory.resolve(body.alias, "alias")
    await check_arms(parts, body.arms)
    plan = await _checked_plan(parts, body.settings)
    pinned = await pinned_arms(parts, body.alias, body.arms) if body.start else []

    def make(session: Session) -> ExperimentObject:
        row = changes.make_experiment(
            session,
            name=body.name,
            alias=body.alias,
            arms=body.arms,
            plan=plan,
            meta=body.metadata or {},
        )
        if body.start:
            changes.start(session, row, pinned, _alias_version(session, parts, row.alias))
        return ExperimentObject.of(row)

    made = await parts.database.run(make)
    if body.start:
        await _settled(parts)
    return made


@router.get("", summary="List experiments")
async def list_experiments(
    parts: Parts,
    page: PageOf,
    alias: Annotated[str | None, Query(description="Only those on this alias.")] = None,
    status: Annotated[str | None, Query(description="Only those in this status.")] = None,
) -> Page[ExperimentObject]:
    """List experiments, newest first, without their reports."""

    def read(session: Session) -> Page[ExperimentObject]:
        query = select(Experiment)
        if alias is not None:
            query = query.where(Experiment.alias == alias)
        if status is not None:
            query = query.where(Experiment.status == status)
        rows, has_more = take_page(session, query, Experiment.id, page)
        found = [ExperimentObject.of(row, whole=False) for row in rows]
        return Page[ExperimentObject].of(found, has_more=has_more)

    return await parts.database.run(read, read_only=True)


@router.get("/{experiment_id}", summary="Retrieve an experiment")
async def retrieve_experiment(experiment_id: str, parts: Parts) -> ExperimentObject:
    """Describe an experiment with the last report on it, a second old at most while it runs."""
    return ExperimentObject.of(await _read(parts, experiment_id))


@router.post("/{experiment_id}", summary="Update an experiment")
async def update_experiment(
    experiment_id: str, body: ExperimentUpdate, parts: Parts
) -> ExperimentObject:
    """Change a draft; later only its name and metadata."""
    if body.arms is not None:
        await check_arms(parts, body.arms)
    plan = None if body.settings is None else await _checked_plan(parts, body.settings)

    def change(row: Experiment, session: Session) -> None:
        changes.update_draft(
            session, row, name=body.name, arms=body.arms, plan=plan, meta=body.metadata
        )

    return await _change(parts, experiment_id, change)


@router.post("/{experiment_id}/start", summary="Start an experiment")
async def start_experiment(experiment_id: str, parts: Parts) -> ExperimentObject:
    """Pin what the arms name, and split the alias's traffic from now on."""
    row = await _read(parts, experiment_id)
    changes.expect(row, "draft")
    arms = await pinned_arms(parts, row.alias, [Arm.model_validate(arm) for arm in row.arms])

    def start(row: Experiment, session: Session) -> None:
        changes.start(session, row, arms, _alias_version(session, parts, row.alias))

    return await _change(parts, experiment_id, start)


@router.post("/{experiment_id}/stop", summary="Stop an experiment")
async def stop_experiment(
    experiment_id: str, body: ExperimentStop, parts: Parts
) -> ExperimentObject:
    """End it without a winner; all traffic is the alias's again."""

    def stop(row: Experiment, session: Session) -> None:
        decision = {"outcome": "stopped", "reason": body.reason}
        changes.conclude(session, row, "stopped", decision)

    return await _change(parts, experiment_id, stop)


@router.post("/{experiment_id}/arms/{arm}/stop", summary="Stop an arm")
async def stop_arm(
    experiment_id: str, arm: str, body: ExperimentStop, parts: Parts
) -> ExperimentObject:
    """Take an arm out; its users are answered by the alias and are no longer counted."""

    def stop(row: Experiment, session: Session) -> None:
        changes.stop_arm(session, row, arm, body.reason, "person")

    return await _change(parts, experiment_id, stop)


@router.post("/{experiment_id}/ramp", summary="Ramp an experiment")
async def ramp_experiment(
    experiment_id: str, body: ExperimentRamp, parts: Parts
) -> ExperimentObject:
    """Let another share of the alias's traffic in. Nobody changes arms."""

    def ramp(row: Experiment, session: Session) -> None:
        last = len(row.settings["ramp"]) - 1
        changes.ramp_to(session, row, body.share, last)

    return await _change(parts, experiment_id, ramp)


@router.post("/{experiment_id}/promote", summary="Promote an arm")
async def promote_arm(experiment_id: str, body: ExperimentPromote, parts: Parts) -> MovedAlias:
    """Move the alias to the winner, or with a reason to another arm, without a gate's word."""
    row = await _read(parts, experiment_id)
    changes.expect(row, "decided", "stopped")
    won = (row.decision or {}).get("arm")
    arm = body.arm or won
    if arm is None:
        raise Conflict(
            f"The experiment {row.id} has no winner; name an `arm` and a `reason`.",
            code="no_winner",
        )
    if arm != won and body.reason is None:
        raise InvalidRequest(
            f"{arm[:64]} did not win; say why it is promoted.",
            param="reason",
            code="missing_parameter",
        )
    reason = body.reason or f"It won the experiment {row.id}."
    moved = await move_alias(parts, Move(row.alias, arm_reference(row.id, arm), "override", reason))

    def note(row: Experiment, session: Session) -> None:
        told = {"arm": arm, "mode": "manual", "status": "promoted", "reason": reason}
        changes.note_promotion(session, row, told)

    await _change(parts, experiment_id, note)
    return moved


@router.get("/{experiment_id}/events", summary="List an experiment's events")
async def list_events(
    experiment_id: str, parts: Parts, page: PageOf
) -> Page[ExperimentEventObject]:
    """List what happened to it, newest first."""

    def read(session: Session) -> Page[ExperimentEventObject]:
        changes.find_experiment(session, experiment_id)
        query = select(ExperimentEvent).where(ExperimentEvent.experiment_id == experiment_id)
        rows, has_more = take_page(session, query, ExperimentEvent.id, page)
        found = [ExperimentEventObject.of(row) for row in rows]
        return Page[ExperimentEventObject].of(found, has_more=has_more)

    return await parts.database.run(read, read_only=True)


async def _read(parts: Services, experiment_id: str) -> Experiment:
    return await parts.database.run(
        lambda session: changes.find_experiment(session, experiment_id), read_only=True
    )


async def _change(
    parts: Services, experiment_id: str, change: Callable[[Experiment, Session], None]
) -> ExperimentObject:
    def run(session: Session) -> ExperimentObject:
        row = changes.find_experiment(session, experiment_id)
        change(row, session)
        return ExperimentObject.of(row)

    changed = await parts.database.run(run)
    await _settled(parts)
    return changed


async def _settled(parts: Services) -> None:
    """Return once no gateway replica assigns by what was before."""
    parts.experiments.forget()
    await asyncio.sleep(DESK_TTL_S)


async def _checked_plan(parts: Services, plan: Plan) -> Plan:
    """The plan, its gate's settings whole. Raises what names the field that is wrong."""
    promotion = plan.promotion
    if promotion.mode == "manual":
        return plan
    settings = gate_settings(promotion.gate, "settings.promotion.gate")
    await parts.database.run(
        lambda session: find_file(session, str(promotion.evaluation_file)),
        read_only=True,
    )
    return plan.model_copy(update={"promotion": promotion.model_copy(update={"gate": settings})})


def _alias_version(session: Session, parts: Services, alias: str) -> int:
    row = current_alias(session, alias, parts.settings.default_alias, next(iter(parts.models)))
    if row is None:
        raise Conflict(f"The alias {alias} does not exist any more.", code="alias_moved")
    return row.version
