"""`/v1/aliases`: names that clients call; moving one is a promotion, moving it back a rollback.

The new version is loaded on every replica before the name moves, so nobody waits for it; requests
that are under way are answered to their end by what they began with.
"""

import asyncio
import time
from dataclasses import replace
from typing import Annotated

from fastapi import APIRouter, Depends
from pydantic import Field
from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.adapters import ADAPTER_PREFIX
from cluster.arms import ARM_PREFIX, read_arm_reference
from cluster.records import Alias, AliasMove
from deployments.errors import InvalidRequest, NotFound
from deployments.experiments.changes import version_compared
from deployments.gateway.bodies import Body, Text
from deployments.gateway.directory import ALIAS_TTL_S
from deployments.gateway.experiments.pinning import pinned_serving
from deployments.gateway.objects import Deleted
from deployments.gateway.pages import Page, PageQuery, PageQueryDependency, cursor_number, take_page
from deployments.gateway.registry.moves import (
    Move,
    apply_move,
    check_gate,
    current_alias,
    delete_alias,
    rollback_target,
)
from deployments.gateway.registry.objects import AliasMoveObject, AliasObject
from deployments.gateway.services import Services, services
from deployments.serving import Serving

__all__ = ["MovedAlias", "move_alias", "router"]

router = APIRouter(prefix="/v1/aliases", tags=["Aliases"])
Parts = Annotated[Services, Depends(services)]
Name = Annotated[Text, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
Reason = Annotated[Text, Field(min_length=1, max_length=1000)]


class AliasCreate(Body):
    """Make an alias."""

    name: Name
    target: Annotated[Text, Field(min_length=1, max_length=256)]
    """A served model's id. An adapter is reached by promoting it."""


class Promotion(Body):
    """Point an alias at another version."""

    target: Annotated[Text, Field(min_length=1, max_length=256)]
    """Id of an adapter or of a served model, or `arm:EXPERIMENT:ARM` of an experiment on this
    alias: then its prompt and retrieval come with it."""
    serving: Serving | None = None
    """Prompt and retrieval that go with it, where `override` is true; absent: the alias keeps its
    own."""
    gate: Annotated[Text, Field(max_length=64)] | None = None
    """The gate run that says to promote it."""
    override: bool = False
    """Move it without a gate's word; `reason` is then required and kept in the history."""
    reason: Reason | None = None


class Rollback(Body):
    """Take moves of an alias back."""

    steps: int = Field(default=1, ge=1, le=100)
    reason: Reason | None = None


class MovedAlias(AliasObject):
    """An alias that was just moved."""

    previous: str | None
    replicas: int
    """Replicas that had the version loaded before the alias moved."""
    load_ms: float
    """What that took."""


@router.get("", summary="List aliases")
async def list_aliases(parts: Parts) -> Page[AliasObject]:
    """List all aliases; the default one exists before it was ever moved."""

    def read(session: Session) -> list[Alias]:
        rows = list(session.scalars(select(Alias).order_by(Alias.name)))
        if all(row.name != parts.settings.default_alias for row in rows):
            default = _current(session, parts, parts.settings.default_alias)
            rows = [default, *rows] if default is not None else rows
        return rows

    rows = await parts.database.run(read, read_only=True)
    return Page[AliasObject].of([AliasObject.of(row) for row in rows], has_more=False)


@router.post("", summary="Create an alias")
async def create_alias(body: AliasCreate, parts: Parts) -> AliasObject:
    """Make a new name for a served model."""
    _check_name(parts, body.name)
    if body.target not in parts.models:
        raise InvalidRequest(
            f"target is {body.target[:128]!r}; a new alias points at a served model: "
            f"{', '.join(parts.models)}. Promote an adapter to it afterwards.",
            param="target",
            code="invalid_value",
        )

    def make(session: Session) -> AliasObject:
        if _current(session, parts, body.name) is not None:
            raise InvalidRequest(
                f"There is an alias {body.name} already; promote to move it.",
                param="name",
                code="alias_exists",
            )
        return AliasObject.of(apply_move(session, Move(body.name, body.target, "created"), None))

    return await parts.database.run(make)


@router.get("/{name}", summary="Retrieve an alias")
async def retrieve_alias(name: str, parts: Parts) -> AliasObject:
    """Say what an alias points at."""
    return AliasObject.of(await _alias(parts, name))


@router.delete("/{name}", summary="Delete an alias")
async def remove_alias(name: str, parts: Parts) -> Deleted:
    """Forget an alias; its history stays. The default one points at the first model again."""
    if not await parts.database.run(lambda session: delete_alias(session, name)):
        raise _missing(name)
    await _settled(parts, name)
    return Deleted(id=name, object="alias")


@router.get("/{name}/history", summary="List an alias's moves")
async def list_moves(
    name: str, parts: Parts, page: Annotated[PageQuery, Depends(PageQueryDependency)]
) -> Page[AliasMoveObject]:
    """List what moved the alias, newest first. Nothing is ever taken out of it."""

    def read(session: Session) -> Page[AliasMoveObject]:
        query = select(AliasMove).where(AliasMove.alias == name)
        if _current(session, parts, name) is None and session.scalar(query.limit(1)) is None:
            raise _missing(name)
        place = {
            side: cursor_number(found, side)
            for side, found in (("after", page.after), ("before", page.before))
            if found is not None
        }
        rows, has_more = take_page(session, query, AliasMove.version, page, **place)
        return Page[AliasMoveObject].of(
            [AliasMoveObject.of(row) for row in rows], has_more=has_more
        )

    return await parts.database.run(read, read_only=True)


@router.post("/{name}/promote", summary="Promote a version")
async def promote(name: str, body: Promotion, parts: Parts) -> MovedAlias:
    """Load the version on every replica, then point the alias at it.

    Moving to an adapter needs a gate run that says so, or a person's `override` with a reason.
    """
    _check_name(parts, name)
    if body.gate is None and not (body.override and body.reason):
        raise InvalidRequest(
            "A move needs a gate run (`gate`) that says to promote, or `override: true` with a "
            "`reason`.",
            param="override" if body.gate is None else "reason",
            code="gate_required",
        )
    if body.serving is not None and body.gate is not None:
        raise InvalidRequest(
            "serving needs `override`: a gate's word is about what it compared.",
            param="serving",
            code="invalid_value",
        )
    if body.gate is None:
        move = Move(name, body.target, "override", body.reason, serving=body.serving)
    else:
        gate = body.gate
        champion = await parts.database.run(
            lambda session: check_gate(session, gate, name, body.target), read_only=True
        )
        move = Move(name, body.target, "promoted", body.reason, gate, expected=champion)
    if move.serving is not None:
        move = replace(move, serving=await pinned_serving(parts, move.serving, "serving.prompt"))
    return await move_alias(parts, move)


@router.post("/{name}/rollback", summary="Roll an alias back")
async def rollback(name: str, body: Rollback, parts: Parts) -> MovedAlias:
    """Point the alias at what it pointed at before."""

    def read(session: Session) -> Move:
        current = _current(session, parts, name)
        if current is None:
            raise _missing(name)
        target, serving = rollback_target(session, name, body.steps)
        return Move(
            name,
            target,
            "rollback",
            body.reason,
            expected=current.target,
            undone=body.steps,
            serving=serving,
        )

    return await move_alias(parts, await parts.database.run(read, read_only=True))


async def move_alias(parts: Services, move: Move) -> MovedAlias:
    """Load the target everywhere, then move the alias. An arm brings its prompt and retrieval."""
    target = await parts.directory.resolve(move.target, "target")
    if (arm := read_arm_reference(move.target)) is not None:
        version = await parts.database.run(
            lambda session: version_compared(session, arm[0], move.alias), read_only=True
        )
        move = replace(move, target=target.name, serving=target.serving, expected_version=version)
    if target.alias is not None:
        raise InvalidRequest(
            f"target is the alias {target.alias}; an alias points at a model or an adapter.",
            param="target",
            code="invalid_value",
        )
    began, replicas = time.perf_counter(), 0
    if target.adapter is not None:
        replicas = await parts.models[target.base].prepare(target.adapter)
    load_ms = (time.perf_counter() - began) * 1000

    def flip(session: Session) -> tuple[AliasObject, str | None]:
        current = _current(session, parts, move.alias)
        before = None if current is None else current.target
        return AliasObject.of(apply_move(session, move, current)), before

    moved, previous = await parts.database.run(flip)
    await _settled(parts, move.alias)
    return MovedAlias(
        **moved.model_dump(), previous=previous, replicas=replicas, load_ms=round(load_ms, 1)
    )


async def _settled(parts: Services, name: str) -> None:
    """Return once no gateway replica answers by what the alias meant before."""
    parts.directory.forget(name)
    parts.experiments.forget()
    await asyncio.sleep(ALIAS_TTL_S)


async def _alias(parts: Services, name: str) -> Alias:
    row = await parts.database.run(lambda session: _current(session, parts, name), read_only=True)
    if row is None:
        raise _missing(name)
    return row


def _current(session: Session, parts: Services, name: str) -> Alias | None:
    return current_alias(session, name, parts.settings.default_alias, next(iter(parts.models)))


def _check_name(parts: Services, name: str) -> None:
    if name in parts.models or name.startswith((ADAPTER_PREFIX, ARM_PREFIX)):
        raise InvalidRequest(
            f"{name[:128]!r} is the name of a model, which no alias may have.",
            param="name",
            code="invalid_value",
        )


def _missing(name: str) -> NotFound:
    return NotFound(f"No such alias: {name[:128]}.", param="name", code="not_found")
