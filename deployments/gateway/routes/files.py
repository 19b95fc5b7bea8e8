"""`/v1/files`: bytes go to the store as they arrive, the record follows once they are whole."""

import asyncio
from collections.abc import Iterator
from typing import Annotated, Any, BinaryIO, Final, get_args

from fastapi import APIRouter, Depends, File, Form, Query, Request, UploadFile
from fastapi.responses import StreamingResponse
from openai.types import FilePurpose
from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.audit import record
from cluster.errors import DatabaseError
from cluster.ids import new_id
from cluster.records import StoredFile, VectorStoreFile, now
from cluster.storage import CHUNK_BYTES
from cluster.tenancy import acting_project
from deployments.errors import InvalidRequest, PayloadTooLarge, RequestError
from deployments.gateway.access.identity import identity_of
from deployments.gateway.attachments import Detached, detach, find_file, unexpired
from deployments.gateway.bodies import storable
from deployments.gateway.bounded_forms import BoundedForms
from deployments.gateway.downloads import send_stored
from deployments.gateway.objects import DocumentDeleted, FileObject
from deployments.gateway.pages import Page, PageQuery, PageQueryDependency, take_page
from deployments.gateway.purging import delete_bytes, purge_soon
from deployments.gateway.services import Services, services
from deployments.gateway.training_files import PURPOSE, columns_of
from deployments.lineage.edges import add_edges, edges_of_sources
from deployments.lineage.row_sources import RowSources, read_eval_sources
from training.data.columns import Columns

__all__ = ["router"]

_PURPOSES: Final = tuple(get_args(FilePurpose))
_MAX_LIST: Final = 10_000
_EXPIRY_S: Final = (3600, 2_592_000)

router = APIRouter(prefix="/v1/files", tags=["Files"], route_class=BoundedForms)


@router.post("", summary="Upload a file")
async def create_file(
    request: Request,
    parts: Annotated[Services, Depends(services)],
    file: Annotated[UploadFile, File(description="The bytes, with their file name.")],
    purpose: Annotated[str, Form(description=f"One of {', '.join(_PURPOSES)}.")],
) -> FileObject:
    """Store a file. It is there, whole and on the disk, when this answers.

    One for `fine-tune` is read to its end first: every problem is told, by line, and none is kept.
    A CSV or Parquet file whose columns have names of its own comes with `columns`.
    """
    _check_purpose(purpose)
    filename = _filename(file.filename)
    form = dict(await request.form())
    expires_in, columns = _expiry(form), columns_of(form, purpose)
    limit = parts.settings.ingestion.max_file_bytes
    if file.size is not None and file.size > limit:
        raise PayloadTooLarge(
            f"The file has {file.size} bytes; at most {limit} are allowed.",
            param="file",
            code="file_too_large",
        )
    identity = identity_of(request)
    async with parts.limiter.storing(identity.project_id, identity.key_id, file.size or 0) as room:
        meta, sources = await _read(parts, file.file, filename, purpose, columns)
        file_id = new_id("file")
        key = f"{acting_project()}/{file_id}"
        stored = await asyncio.to_thread(parts.storage.put, key, _pieces(file.file))
        created_at = now()
        row = StoredFile(
            id=file_id,
            filename=filename,
            purpose=purpose,
            bytes=stored.size,
            sha256=stored.sha256,
            storage_key=key,
            created_at=created_at,
            expires_at=created_at + expires_in if expires_in is not None else None,
            meta=meta,
        )
        made = FileObject.of(row)

        def keep(session: Session) -> None:
            room(session)
            session.add(row)
            add_edges(session, edges_of_sources(file_id, sources.ids))
            said = {"filename": filename, "purpose": purpose, "sha256": row.sha256}
            record(session, "file.created", file_id, **said)

        try:
            await parts.database.run(keep)
        except (DatabaseError, RequestError):
            await asyncio.to_thread(delete_bytes, parts.storage, key)
            raise
    return made


@router.get("", summary="List files")
async def list_files(
    parts: Annotated[Services, Depends(services)],
    page: Annotated[PageQuery, Depends(PageQueryDependency)],
    limit: Annotated[int, Query(ge=1, le=_MAX_LIST)] = 100,
    purpose: Annotated[str | None, Query(description="Only files of this purpose.")] = None,
) -> Page[FileObject]:
    """List uploaded files, newest first."""
    if purpose is not None:
        _check_purpose(purpose)
    wanted = page.model_copy(update={"limit": limit})

    def read(session: Session) -> Page[FileObject]:
        query = select(StoredFile).where(unexpired())
        if purpose is not None:
            query = query.where(StoredFile.purpose == purpose)
        rows, has_more = take_page(session, query, StoredFile.id, wanted)
        return Page[FileObject].of([FileObject.of(row) for row in rows], has_more=has_more)

    return await parts.database.run(read, read_only=True)


@router.get("/{file_id}", summary="Retrieve a file")
async def retrieve_file(file_id: str, parts: Annotated[Services, Depends(services)]) -> FileObject:
    """Describe one file."""
    return await parts.database.run(
        lambda session: FileObject.of(find_file(session, file_id)),
        read_only=True,
    )


@router.get(
    "/{file_id}/content",
    summary="Retrieve a file's content",
    response_class=StreamingResponse,
    responses={200: {"content": {"application/octet-stream": {}}}},
)
async def retrieve_content(
    file_id: str, parts: Annotated[Services, Depends(services)]
) -> StreamingResponse:
    """Send the bytes as they were uploaded."""
    row = await parts.database.run(lambda session: find_file(session, file_id), read_only=True)
    return await send_stored(parts.storage, row.storage_key, row.bytes, row.filename)


@router.delete("/{file_id}", summary="Delete a file")
async def delete_file(
    file_id: str, parts: Annotated[Services, Depends(services)]
) -> DocumentDeleted:
    """Delete a file and its passages in every vector store: they are found no more from now on.

    What quotes it in traces, stored responses and evaluated answers is blotted out within moments.
    """

    def remove(session: Session) -> tuple[str, int, Detached]:
        row = find_file(session, file_id)
        detached = detach(session, VectorStoreFile.file_id == file_id)
        session.delete(row)
        record(session, "file.deleted", file_id, filename=row.filename, purpose=row.purpose)
        return row.storage_key, row.bytes, detached

    key, size, detached = await parts.database.run(remove)
    purged = await purge_soon(parts.ingestor, detached.numbers)
    await asyncio.to_thread(delete_bytes, parts.storage, key)
    if parts.note_deletion is not None:
        await asyncio.to_thread(parts.note_deletion, "file", [file_id])
    report = detached.report(purged=purged, size=size)
    return DocumentDeleted(id=file_id, object="file", report=report)


async def _read(
    parts: Services, file: BinaryIO, filename: str, purpose: str, columns: Columns | None
) -> tuple[dict[str, Any], RowSources]:
    """What the record's `meta` holds, and whence the rows are; see `TrainingFiles.check`."""
    meta: dict[str, Any] = {}
    sources = RowSources()
    if purpose == PURPOSE:
        meta = await parts.training_files.check(file, filename, columns, sources)
    elif purpose == "evals":
        await asyncio.to_thread(read_eval_sources, file, sources)
    if sources.more:
        meta["sources_left_out"] = sources.more
    return meta, sources


def _pieces(file: BinaryIO) -> Iterator[bytes]:
    while piece := file.read(CHUNK_BYTES):
        yield piece


def _check_purpose(purpose: str) -> None:
    if purpose not in _PURPOSES:
        raise InvalidRequest(
            f"purpose is {purpose[:64]!r}; allowed: {', '.join(_PURPOSES)}.",
            param="purpose",
            code="invalid_value",
        )


def _filename(given: str | None) -> str:
    """Return the last part of the name: clients may send a path."""
    name = (given or "").replace("\\", "/").rpartition("/")[2].strip()
    try:
        storable(name)
    except ValueError as error:
        raise InvalidRequest(f"file: {error} in its name.", param="file") from error
    if not name or name in {".", ".."} or len(name) > 255:
        raise InvalidRequest(
            f"The file's name is {name[:64]!r}; it must have 1 to 255 characters.",
            param="file",
            code="invalid_filename",
        )
    return name


def _expiry(form: dict[str, Any]) -> int | None:
    """Read `expires_after[anchor]` and `expires_after[seconds]`."""
    seconds = form.get("expires_after[seconds]")
    if seconds is None:
        return None
    if form.get("expires_after[anchor]", "created_at") != "created_at":
        raise InvalidRequest(
            "expires_after.anchor must be 'created_at'.", param="expires_after.anchor"
        )
    low, high = _EXPIRY_S
    written = str(seconds)
    sane = written.isdecimal() and len(written) <= len(str(high))
    if not sane or not low <= int(written) <= high:
        raise InvalidRequest(
            f"expires_after.seconds is {written[:32]!r}; allowed: {low} to {high}.",
            param="expires_after.seconds",
        )
    return int(written)
