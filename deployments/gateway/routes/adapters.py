"""`/v1/adapters`: the adapter versions."""

import asyncio
from contextlib import suppress
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from fastapi.responses import StreamingResponse
from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.adapters import AdapterFiles
from cluster.audit import record
from cluster.records import Adapter, now
from deployments.errors import Conflict, NotFound, RequestError
from deployments.experiments.changes import running_with
from deployments.gateway.downloads import send_stored
from deployments.gateway.objects import Deleted
from deployments.gateway.pages import Page, PageQuery, PageQueryDependency, take_page
from deployments.gateway.registry.moves import aliases_of, live_adapter
from deployments.gateway.registry.objects import AdapterObject
from deployments.gateway.services import Services, services

__all__ = ["delete_adapter", "router"]

router = APIRouter(prefix="/v1/adapters", tags=["Adapters"])
Parts = Annotated[Services, Depends(services)]


@router.get("", summary="List adapters")
async def list_adapters(
    parts: Parts,
    page: Annotated[PageQuery, Depends(PageQueryDependency)],
    base_model: Annotated[str | None, Query(description="Only those on this model.")] = None,
) -> Page[AdapterObject]:
    """List adapter versions, newest first."""

    def read(session: Session) -> Page[AdapterObject]:
        query = select(Adapter).where(Adapter.deleted_at.is_(None))
        if base_model is not None:
            query = query.where(Adapter.base == base_model)
        place = {
            name: _number(session, found)
            for name, found in (("after", page.after), ("before", page.before))
            if found is not None
        }
        rows, has_more = take_page(session, query, Adapter.number, page, **place)
        found = [AdapterObject.of(row, aliases_of(session, row.id)) for row in rows]
        return Page[AdapterObject].of(found, has_more=has_more)

    return await parts.database.run(read, read_only=True)


@router.get("/{adapter_id}", summary="Retrieve an adapter")
async def retrieve_adapter(adapter_id: str, parts: Parts) -> AdapterObject:
    """Describe one adapter version, and where it comes from."""

    def read(session: Session) -> AdapterObject:
        return AdapterObject.of(_find(session, adapter_id), aliases_of(session, adapter_id))

    return await parts.database.run(read, read_only=True)


@router.get(
    "/{adapter_id}/files/{name}",
    summary="Retrieve an adapter's file",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/octet-stream": {}}}},
)
async def retrieve_adapter_file(adapter_id: str, name: str, parts: Parts) -> StreamingResponse:
    """Send a file of the adapter, in peft's format, as it is stored."""
    row = await parts.database.run(lambda session: _find(session, adapter_id), read_only=True)
    stored = AdapterFiles.of_json(row.files)
    wanted = next((file for file in stored.files if file.name == name), None)
    if wanted is None:
        names = ", ".join(file.name for file in stored.files)
        raise NotFound(f"The adapter has no file {name[:128]!r}; it has {names}.", param="name")
    return await send_stored(parts.storage, f"{stored.prefix}/{name}", wanted.bytes)


@router.delete("/{adapter_id}", summary="Delete an adapter")
async def delete_adapter(adapter_id: str, parts: Parts) -> Deleted:
    """Delete an adapter version that no alias or experiment answers by. It answers no more."""

    def remove(session: Session) -> AdapterFiles:
        row = _find(session, adapter_id)
        used = aliases_of(session, adapter_id)
        if used:
            raise Conflict(
                f"The adapter answers for the alias {', '.join(used)}. Move it first.",
                param="adapter_id",
                code="adapter_in_use",
            )
        if running := running_with(session, adapter_id):
            raise Conflict(
                f"The adapter answers for an arm of {', '.join(running)}. Stop that first.",
                param="adapter_id",
                code="adapter_in_use",
            )
        row.deleted_at = now()
        record(session, "adapter.deleted", adapter_id)
        return AdapterFiles.of_json(row.files)

    files = await parts.database.run(remove)
    parts.directory.forget_adapter(adapter_id)
    for file in files.files:
        await asyncio.to_thread(parts.storage.delete, f"{files.prefix}/{file.name}")
    for model in parts.models.values():
        with suppress(RequestError):  # one that does not answer drops it with its next restart
            await model.forget(adapter_id)
    return Deleted(id=adapter_id, object="adapter")


def _find(session: Session, adapter_id: str) -> Adapter:
    row = live_adapter(session, adapter_id)
    if row is None:
        raise NotFound(
            f"No such adapter: {adapter_id[:256]}.", param="adapter_id", code="not_found"
        )
    return row


def _number(session: Session, adapter_id: str) -> str:
    row = session.get(Adapter, adapter_id)
    if row is None:
        raise NotFound(f"No such adapter: {adapter_id[:256]}.", param="after", code="not_found")
    return row.number
