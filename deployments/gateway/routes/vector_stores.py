"""`/v1/vector_stores`: sets of documents that are searched together."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.audit import record
from cluster.ids import new_id
from cluster.records import VectorStore, VectorStoreFile, now
from deployments.gateway.attachments import (
    Detached,
    attach,
    detach,
    find_store,
    store_totals,
)
from deployments.gateway.bodies import FileAttach, StoreCreate, StoreUpdate
from deployments.gateway.objects import DocumentDeleted, VectorStoreObject
from deployments.gateway.pages import Page, PageQuery, PageQueryDependency, take_page
from deployments.gateway.purging import purge_soon, tell_backups, wake
from deployments.gateway.services import Services, services

__all__ = ["router"]

router = APIRouter(prefix="/v1/vector_stores", tags=["Vector stores"])


@router.post("", summary="Create a vector store")
async def create_store(
    body: StoreCreate, parts: Annotated[Services, Depends(services)]
) -> VectorStoreObject:
    """Create a store, and attach files to it where given."""
    limits = parts.settings.ingestion
    store_id = new_id("vs")  # outside the transaction: a second try must not make a second store

    def create(session: Session) -> VectorStoreObject:
        store = VectorStore(
            id=store_id,
            name=body.name or "",
            description=body.description,
            meta=body.metadata or {},
            expires_after=body.expires_after.model_dump() if body.expires_after else None,
        )
        session.add(store)
        session.flush()
        wishes = [
            FileAttach.model_construct(
                file_id=file_id, attributes=None, chunking_strategy=body.chunking_strategy
            )
            for file_id in body.file_ids
        ]
        attach(session, store, wishes, limits.chunking, limits.max_files_per_store)
        return _described(session, [store])[0]

    made = await parts.database.run(create)
    if body.file_ids:
        await wake(parts.ingestor)
    return made


@router.get("", summary="List vector stores")
async def list_stores(
    parts: Annotated[Services, Depends(services)],
    page: Annotated[PageQuery, Depends(PageQueryDependency)],
    name: Annotated[str | None, Query(description="Only stores of exactly this name.")] = None,
) -> Page[VectorStoreObject]:
    """List stores, newest first. `name` is our addition."""

    def read(session: Session) -> Page[VectorStoreObject]:
        query = select(VectorStore).where(VectorStore.deleted_at.is_(None))
        if name is not None:
            query = query.where(VectorStore.name == name)
        rows, has_more = take_page(session, query, VectorStore.id, page)
        return Page[VectorStoreObject].of(_described(session, rows), has_more=has_more)

    return await parts.database.run(read, read_only=True)


@router.get("/{vector_store_id}", summary="Retrieve a vector store")
async def retrieve_store(
    vector_store_id: str, parts: Annotated[Services, Depends(services)]
) -> VectorStoreObject:
    """Describe one store."""

    def read(session: Session) -> VectorStoreObject:
        return _described(session, [find_store(session, vector_store_id)])[0]

    return await parts.database.run(read, read_only=True)


@router.post("/{vector_store_id}", summary="Update a vector store")
async def update_store(
    vector_store_id: str, body: StoreUpdate, parts: Annotated[Services, Depends(services)]
) -> VectorStoreObject:
    """Change the name, the metadata or the expiry; null clears them, what is absent stays."""

    def change(session: Session) -> VectorStoreObject:
        store = find_store(session, vector_store_id, lock=True)
        given = body.model_fields_set
        if "name" in given:
            store.name = body.name or ""
        if "metadata" in given:
            store.meta = body.metadata or {}
        if "expires_after" in given:
            store.expires_after = body.expires_after.model_dump() if body.expires_after else None
            store.last_active_at = now()
        session.flush()
        return _described(session, [store])[0]

    return await parts.database.run(change)


@router.delete("/{vector_store_id}", summary="Delete a vector store")
async def delete_store(
    vector_store_id: str, parts: Annotated[Services, Depends(services)]
) -> DocumentDeleted:
    """Delete a store, its passages and what quotes them; the files stay."""

    def remove(session: Session) -> Detached:
        store = find_store(session, vector_store_id, lock=True)
        store.deleted_at = now()
        numbers = detach(session, VectorStoreFile.store_id == store.id)
        record(session, "vector_store.deleted", store.id, name=store.name)
        return numbers

    detached = await parts.database.run(remove)
    report = detached.report(purged=await purge_soon(parts.ingestor, detached.numbers))
    await tell_backups(parts.note_deletion, "vector_store", vector_store_id)
    return DocumentDeleted(id=vector_store_id, object="vector_store.deleted", report=report)


def _described(session: Session, stores: list[VectorStore]) -> list[VectorStoreObject]:
    totals = store_totals(session, [store.id for store in stores])
    at = now()
    return [
        VectorStoreObject.of(store, totals[store.id].counts, totals[store.id].usage_bytes, at)
        for store in stores
    ]
