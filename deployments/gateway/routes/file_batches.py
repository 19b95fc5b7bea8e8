"""`/v1/vector_stores/{id}/file_batches`: many files attached in one call."""

from typing import Annotated

from fastapi import APIRouter, Depends
from sqlalchemy import select, update
from sqlalchemy.orm import Session

from cluster.ids import new_id
from cluster.records import FileBatch, VectorStore, VectorStoreFile, now
from deployments.errors import NotFound
from deployments.gateway.attachments import active_store, attach, batch_counts, find_store
from deployments.gateway.bodies import BatchCreate
from deployments.gateway.objects import UNFINISHED_STAGES, FileBatchObject, VectorStoreFileObject
from deployments.gateway.pages import Page, PageQuery, PageQueryDependency
from deployments.gateway.purging import wake
from deployments.gateway.routes.vector_store_files import StatusFilter, attachment_page
from deployments.gateway.services import Services, services

__all__ = ["router"]

router = APIRouter(
    prefix="/v1/vector_stores/{vector_store_id}/file_batches", tags=["Vector store file batches"]
)


@router.post("", summary="Attach many files")
async def create_batch(
    vector_store_id: str, body: BatchCreate, parts: Annotated[Services, Depends(services)]
) -> FileBatchObject:
    """Queue files for ingestion. One that fails does not stop the others."""
    limits = parts.settings.ingestion
    batch_id = new_id("vsfb")

    def add(session: Session) -> FileBatchObject:
        store = active_store(session, vector_store_id, lock=True)
        batch = FileBatch(id=batch_id, store_id=store.id)
        session.add(batch)
        session.flush()
        wishes = body.attachments()
        attach(session, store, wishes, limits.chunking, limits.max_files_per_store, batch)
        return FileBatchObject.of(batch, batch_counts(session, batch))

    made = await parts.database.run(add)
    await wake(parts.ingestor)
    return made


@router.get("/{batch_id}", summary="Retrieve a batch")
async def retrieve_batch(
    vector_store_id: str, batch_id: str, parts: Annotated[Services, Depends(services)]
) -> FileBatchObject:
    """Count the batch's files by status."""

    def read(session: Session) -> FileBatchObject:
        _, batch = _find(session, vector_store_id, batch_id)
        return FileBatchObject.of(batch, batch_counts(session, batch))

    return await parts.database.run(read, read_only=True)


@router.post("/{batch_id}/cancel", summary="Cancel a batch")
async def cancel_batch(
    vector_store_id: str, batch_id: str, parts: Annotated[Services, Depends(services)]
) -> FileBatchObject:
    """Stop the files that are not completed yet; completed ones stay."""

    def cancel(session: Session) -> FileBatchObject:
        _, batch = _find(session, vector_store_id, batch_id)
        if batch.cancelled_at is None:
            batch.cancelled_at = now()
        session.execute(
            update(VectorStoreFile)
            .where(
                VectorStoreFile.batch_id == batch.id,
                VectorStoreFile.stage.in_(UNFINISHED_STAGES),
            )
            .values(stage="cancelled", live=False)
            .execution_options(synchronize_session=False)
        )
        return FileBatchObject.of(batch, batch_counts(session, batch))

    cancelled = await parts.database.run(cancel)
    await wake(parts.ingestor)
    return cancelled


@router.get("/{batch_id}/files", summary="List a batch's files")
async def list_batch_files(
    vector_store_id: str,
    batch_id: str,
    parts: Annotated[Services, Depends(services)],
    page: Annotated[PageQuery, Depends(PageQueryDependency)],
    status: StatusFilter = None,
) -> Page[VectorStoreFileObject]:
    """List files, newest first."""

    def read(session: Session) -> Page[VectorStoreFileObject]:
        store, batch = _find(session, vector_store_id, batch_id)
        return attachment_page(session, store, page, status, VectorStoreFile.batch_id == batch.id)

    return await parts.database.run(read, read_only=True)


def _find(session: Session, store_id: str, batch_id: str) -> tuple[VectorStore, FileBatch]:
    store = find_store(session, store_id)
    batch = session.scalar(
        select(FileBatch).where(FileBatch.id == batch_id, FileBatch.store_id == store.id)
    )
    if batch is None:
        raise NotFound(
            f"No such file batch in vector store {store_id}: {batch_id}.",
            param="batch_id",
            code="not_found",
        )
    return store, batch
