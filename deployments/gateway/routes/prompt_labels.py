"""`/v1/prompts/{name}/labels`: names of versions that move, each move kept for good."""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends
from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.records import PromptLabel, PromptLabelMove
from deployments.gateway.objects import Deleted
from deployments.gateway.pages import Page, PageQuery, PageQueryDependency, cursor_number, take_page
from deployments.gateway.prompts.bodies import LabelRollback, LabelSet
from deployments.gateway.prompts.objects import LabelMoveObject, LabelObject
from deployments.gateway.prompts.registry import moved_label
from deployments.gateway.services import Services, services
from deployments.prompts.book import PROMPT_TTL_S
from deployments.prompts.labels import (
    LabelMove,
    LabelName,
    delete_label,
    require_label,
    rollback_number,
)
from deployments.prompts.versions import require_prompt, require_version

__all__ = ["router"]

router = APIRouter(prefix="/v1/prompts/{name}/labels", tags=["Prompts"])
Parts = Annotated[Services, Depends(services)]


@router.get("", summary="List labels")
async def list_labels(name: str, parts: Parts) -> Page[LabelObject]:
    """List where each label of a prompt stands."""

    def read(session: Session) -> list[LabelObject]:
        record = require_prompt(session, name)
        rows = session.scalars(
            select(PromptLabel)
            .where(PromptLabel.prompt_id == record.id)
            .order_by(PromptLabel.label)
        )
        return [
            LabelObject.of(row, require_version(session, record, str(row.number))) for row in rows
        ]

    found = await parts.database.run(read, read_only=True)
    return Page[LabelObject].of(found, has_more=False)


@router.post("/{label}", summary="Move a label")
async def set_label(name: str, label: LabelName, body: LabelSet, parts: Parts) -> LabelObject:
    """Let a label stand at a version; answers once no gateway replica means another one by it."""

    def move(session: Session) -> LabelObject:
        record = require_prompt(session, name)
        target = require_version(session, record, body.version).number
        wanted = LabelMove(label, target, body.reason, body.expected)
        return moved_label(session, parts, record, wanted)

    return await _settled(await parts.database.run(move))


@router.post("/{label}/rollback", summary="Roll a label back")
async def rollback(name: str, label: LabelName, body: LabelRollback, parts: Parts) -> LabelObject:
    """Let a label stand where it stood before its last moves."""

    def move(session: Session) -> LabelObject:
        record = require_prompt(session, name)
        current = require_label(session, record, label)
        target = rollback_number(session, record, label, body.steps)
        wanted = LabelMove(label, target, body.reason, current.number, undone=body.steps)
        return moved_label(session, parts, record, wanted)

    return await _settled(await parts.database.run(move))


@router.delete("/{label}", summary="Delete a label")
async def remove_label(name: str, label: LabelName, parts: Parts) -> Deleted:
    """Forget a label; its history stays."""
    await parts.database.run(
        lambda session: delete_label(session, require_prompt(session, name), label)
    )
    await asyncio.sleep(PROMPT_TTL_S)
    return Deleted(id=label, object="prompt.label")


@router.get("/{label}/history", summary="List a label's moves")
async def list_moves(
    name: str,
    label: LabelName,
    parts: Parts,
    page: Annotated[PageQuery, Depends(PageQueryDependency)],
) -> Page[LabelMoveObject]:
    """List what moved a label, newest first. Nothing is ever taken out of it."""

    def read(session: Session) -> Page[LabelMoveObject]:
        record = require_prompt(session, name)
        query = select(PromptLabelMove).where(
            PromptLabelMove.prompt_id == record.id, PromptLabelMove.label == label
        )
        place = {
            side: cursor_number(found, side)
            for side, found in (("after", page.after), ("before", page.before))
            if found is not None
        }
        rows, has_more = take_page(session, query, PromptLabelMove.id, page, **place)
        return Page[LabelMoveObject].of(
            [LabelMoveObject.of(row) for row in rows], has_more=has_more
        )

    return await parts.database.run(read, read_only=True)


async def _settled(label: LabelObject) -> LabelObject:
    """Return once no gateway replica answers by what the label meant before."""
    await asyncio.sleep(PROMPT_TTL_S)
    return label
