"""`/v1/vector_stores/{id}/files`: documents in a store."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from sqlalchemy import ColumnElement, select
from sqlalchemy.orm import Session

from cluster.audit import record
from cluster.records import VectorStore, VectorStoreFile
from cluster.tenancy import acting_project
from deployments.errors import InvalidRequest
from deployments.gateway.attachments import (
    Detached,
    active_store,
    attach,
    detach,
    find_attachment,
    find_store,
)
from deployments.gateway.bodies import FileAttach, FileUpdate
from deployments.gateway.objects import (
    UNFINISHED_STAGES,
    DocumentDeleted,
    TextContent,
    VectorStoreFileObject,
)
from deployments.gateway.pages import Page, PageQuery, PageQueryDependency, take_page
from deployments.gateway.purging import purge_soon, wake
from deployments.gateway.services import Services, services

__all__ = ["StatusFilter", "attachment_page", "router"]

StatusFilter = Annotated[
    Literal["in_progress", "completed", "failed", "cancelled"] | None,
    Query(alias="filter", description="Only files of this status."),
]

router = APIRouter(prefix="/v1/vector_stores/{vector_store_id}/files", tags=["Vector store files"])


@router.post("", summary="Attach a file")
async def attach_file(
    vector_store_id: str, body: FileAttach, parts: Annotated[Services, Depends(services)]
) -> VectorStoreFileObject:
    """Queue a file for ingestion; poll it until its status is not `in_progress`.

    It replaces the store's earlier document of the same source (`attributes.source`, else its file
    name) in one step, once it is whole; `on_same_name: "keep"` keeps both.
    """
    limits = parts.settings.ingestion

    def add(session: Session) -> VectorStoreFileObject:
        store = active_store(session, vector_store_id, lock=True)
        rows = attach(session, store, [body], limits.chunking, limits.max_files_per_store)
        return VectorStoreFileObject.of(rows[0])

    made = await parts.database.run(add)
    await wake(parts.ingestor)
    return made


@router.get("", summary="List a store's files")
async def list_attachments(
    vector_store_id: str,
    parts: Annotated[Services, Depends(services)],
    page: Annotated[PageQuery, Depends(PageQueryDependency)],
    status: StatusFilter = None,
) -> Page[VectorStoreFileObject]:
    """List files, newest first."""

    def read(session: Session) -> Page[VectorStoreFileObject]:
        store = find_store(session, vector_store_id)
        return attachment_page(session, store, page, status)

    return await parts.database.run(read, read_only=True)


@router.get("/{file_id}", summary="Retrieve a store's file")
async def retrieve_attachment(
    vector_store_id: str, file_id: str, parts: Annotated[Services, Depends(services)]
) -> VectorStoreFileObject:
    """Describe a file and how far its ingestion is."""

    def read(session: Session) -> VectorStoreFileObject:
        store = find_store(session, vector_store_id)
        return VectorStoreFileObject.of(find_attachment(session, store, file_id))

    return await parts.database.run(read, read_only=True)


@router.post("/{file_id}", summary="Change a file's attributes")
async def update_attachment(
    vector_store_id: str,
    file_id: str,
    body: FileUpdate,
    parts: Annotated[Services, Depends(services)],
) -> VectorStoreFileObject:
    """Replace the attributes. Searches filter by the new ones at once."""

    def change(session: Session) -> VectorStoreFileObject:
        store = find_store(session, vector_store_id, lock=True)
        row = find_attachment(session, store, file_id)
        row.attributes = dict(body.attributes or {})
        if row.document_key != row.file_id:  # attached with `on_same_name: keep`
            row.document_key = str(row.attributes.get("source") or row.filename)
        session.flush()
        return VectorStoreFileObject.of(row)

    return await parts.database.run(change)


@router.delete("/{file_id}", summary="Detach a file")
async def detach_file(
    vector_store_id: str, file_id: str, parts: Annotated[Services, Depends(services)]
) -> DocumentDeleted:
    """Take a file out of the store; it is found no more from now on. The file itself stays.

    What quotes it from this store in traces, stored responses and evaluated answers is blotted out
    within moments.
    """

    def remove(session: Session) -> Detached:
        store = find_store(session, vector_store_id, lock=True)
        find_attachment(session, store, file_id)
        detached = detach(
            session, VectorStoreFile.store_id == store.id, VectorStoreFile.file_id == file_id
        )
        record(session, "vector_store.file_deleted", store.id, file=file_id)
        return detached

    detached = await parts.database.run(remove)
    report = detached.report(purged=await purge_soon(parts.ingestor, detached.numbers))
    return DocumentDeleted(id=file_id, object="vector_store.file.deleted", report=report)


@router.get("/{file_id}/content", summary="Retrieve a file's passages")
async def retrieve_text(
    vector_store_id: str, file_id: str, parts: Annotated[Services, Depends(services)]
) -> dict[str, object]:
    """Return the text that was parsed from the file, passage by passage."""

    def read(session: Session) -> VectorStoreFileObject:
        store = find_store(session, vector_store_id)
        row = find_attachment(session, store, file_id)
        numbers.append(row.number)
        return VectorStoreFileObject.of(row)

    numbers: list[int] = []
    found = await parts.database.run(read, read_only=True)
    if found.status != "completed":
        raise InvalidRequest(
            f"File {file_id} is {found.status}; its text can be read once it is completed.",
            param="file_id",
            code="file_not_completed",
        )
    texts = await parts.retriever.contents(acting_project(), vector_store_id, numbers[-1])
    return {
        "object": "vector_store.file_content.page",
        "file_id": file_id,
        "filename": found.filename,
        "attributes": found.attributes,
        "data": [TextContent(text=text).model_dump() for text in texts],
        "has_more": False,
        "next_page": None,
    }


def attachment_page(
    session: Session,
    store: VectorStore,
    page: PageQuery,
    status: str | None,
    *conditions: ColumnElement[bool],
) -> Page[VectorStoreFileObject]:
    """Return a page of a store's files; cursors are file ids, detached ones among them."""
    query = select(VectorStoreFile).where(
        VectorStoreFile.store_id == store.id, VectorStoreFile.deleted_at.is_(None), *conditions
    )
    if status == "in_progress":
        query = query.where(VectorStoreFile.stage.in_(UNFINISHED_STAGES))
    elif status is not None:
        query = query.where(VectorStoreFile.stage == status)
    plain = page.model_copy(update={"after": None, "before": None})
    rows, has_more = take_page(
        session,
        query,
        VectorStoreFile.number,
        plain,
        after=_number(session, store, page.after, "after"),
        before=_number(session, store, page.before, "before"),
    )
    items = [VectorStoreFileObject.of(row) for row in rows]
    return Page[VectorStoreFileObject].of(items, has_more=has_more)


def _number(session: Session, store: VectorStore, cursor: str | None, param: str) -> int | None:
    if cursor is None:
        return None
    number = session.scalar(
        select(VectorStoreFile.number)
        .where(VectorStoreFile.store_id == store.id, VectorStoreFile.file_id == cursor)
        .order_by(VectorStoreFile.number.desc())
        .limit(1)
    )
    if number is None:
        raise InvalidRequest(
            f"{param} is {cursor!r}; vector store {store.id} never had such a file.",
            param=param,
            code="invalid_cursor",
        )
    return number
