"""Files in vector stores, as transactions on the records: attach, detach, count."""

from collections.abc import Iterable, Sequence
from typing import NamedTuple

from sqlalchemy import ColumnElement, func, or_, select, update
from sqlalchemy.orm import Session

from cluster.records import FileBatch, StoredFile, VectorStore, VectorStoreFile, now
from deployments.deletion.documents import take_out
from deployments.errors import InvalidRequest, NotFound
from deployments.gateway.bodies import FileAttach
from deployments.gateway.objects import (
    UNFINISHED_STAGES,
    DeletionReport,
    FileCounts,
    expiry_of,
)

__all__ = [
    "Detached",
    "StoreTotals",
    "active_store",
    "attach",
    "batch_counts",
    "detach",
    "find_attachment",
    "find_file",
    "find_store",
    "store_totals",
    "unexpired",
]


class StoreTotals(NamedTuple):
    """What a store's files add up to."""

    counts: FileCounts
    usage_bytes: int


class Detached(NamedTuple):
    """Document versions whose passages are found no more."""

    numbers: list[int]
    passages: int

    def report(self, *, purged: bool, size: int = 0) -> DeletionReport:
        """What the client is told. `purged`: the passages are gone; `size`: bytes of the file."""
        return DeletionReport(
            documents=len(self.numbers),
            passages=self.passages,
            passages_gone="now" if purged else "soon",
            bytes=size,
        )


def unexpired() -> ColumnElement[bool]:
    """Return the condition that a file has not expired."""
    return or_(StoredFile.expires_at.is_(None), StoredFile.expires_at > now())


def find_file(session: Session, file_id: str) -> StoredFile:
    """Return the file; NotFound where there is none of that id."""
    row = session.scalar(select(StoredFile).where(StoredFile.id == file_id, unexpired()))
    if row is None:
        raise NotFound(f"No such file: {file_id}.", param="file_id", code="not_found")
    return row


def find_store(session: Session, store_id: str, *, lock: bool = False) -> VectorStore:
    """Return the store; NotFound where there is none of that id."""
    query = select(VectorStore).where(
        VectorStore.id == store_id,
        VectorStore.deleted_at.is_(None),
    )
    row = session.scalar(query.with_for_update() if lock else query)
    if row is None:
        raise NotFound(
            f"No such vector store: {store_id}.", param="vector_store_id", code="not_found"
        )
    return row


def active_store(session: Session, store_id: str, *, lock: bool = False) -> VectorStore:
    """Return the store as `find_store` does; InvalidRequest where it has expired."""
    store = find_store(session, store_id, lock=lock)
    expires_at = expiry_of(store)
    if expires_at is not None and now() >= expires_at:
        raise InvalidRequest(
            f"Vector store {store_id} has expired; update its expires_after to use it again.",
            param="vector_store_id",
            code="vector_store_expired",
        )
    return store


def find_attachment(session: Session, store: VectorStore, file_id: str) -> VectorStoreFile:
    """Return the newest row of this file in the store that was not detached."""
    row = _newest(session, store.id, file_id)
    if row is None:
        raise NotFound(
            f"No such file in vector store {store.id}: {file_id}.",
            param="file_id",
            code="not_found",
        )
    return row


def attach(
    session: Session,
    store: VectorStore,
    wishes: Sequence[FileAttach],
    default_chunking: dict[str, object],
    max_files: int,
    batch: FileBatch | None = None,
) -> list[VectorStoreFile]:
    """Queue files for ingestion; one row per distinct file, in the order given.

    The caller holds the lock on `store`, so that two calls cannot attach one file twice. A file
    that is there already, and has not failed, keeps its row. Raises NotFound before anything is
    queued when a file is missing, InvalidRequest when the store would hold too many.
    """
    by_id = {wish.file_id: wish for wish in wishes}
    files = _files(session, by_id)
    _check_room(session, store, len(by_id), max_files)
    present = _attached(session, store.id, by_id)
    rows = []
    for file_id, wish in by_id.items():
        row = present.get(file_id)
        if row is None or row.stage in {"failed", "cancelled"}:
            if row is not None:
                row.live, row.deleted_at = False, now()
            row = _new_row(store, files[file_id], wish, default_chunking)
            session.add(row)
        if batch is not None and row.batch_id is None:
            row.batch_id = batch.id
        rows.append(row)
    store.last_active_at = now()
    session.flush()
    return rows


def detach(session: Session, *conditions: ColumnElement[bool]) -> Detached:
    """Make the matching rows' passages invisible, and have cleared what quotes them."""
    found = session.execute(
        select(VectorStoreFile.number, VectorStoreFile.passages).where(
            VectorStoreFile.deleted_at.is_(None), *conditions
        )
    ).all()
    session.execute(
        update(VectorStoreFile)
        .where(VectorStoreFile.deleted_at.is_(None), *conditions)
        .values(live=False, deleted_at=now())
        .execution_options(synchronize_session=False)
    )
    take_out(session, *conditions)
    return Detached([row.number for row in found], sum(row.passages for row in found))


def store_totals(session: Session, store_ids: Iterable[str]) -> dict[str, StoreTotals]:
    """Return the totals of each store."""
    ids = list(store_ids)
    counts = {store_id: FileCounts() for store_id in ids}
    usage = dict.fromkeys(ids, 0)
    rows = session.execute(
        select(
            VectorStoreFile.store_id,
            VectorStoreFile.stage,
            func.count(),
            func.coalesce(func.sum(VectorStoreFile.usage_bytes), 0),
        )
        .where(VectorStoreFile.store_id.in_(ids), VectorStoreFile.deleted_at.is_(None))
        .group_by(VectorStoreFile.store_id, VectorStoreFile.stage)
    )
    for store_id, stage, files, size in rows:
        counts[store_id].add(stage, files)
        usage[store_id] += int(size)
    return {store_id: StoreTotals(counts[store_id], usage[store_id]) for store_id in ids}


def batch_counts(session: Session, batch: FileBatch) -> FileCounts:
    """Count the batch's files; one detached before it was done counts as cancelled."""
    counts = FileCounts()
    gone = VectorStoreFile.deleted_at.is_not(None)
    rows = session.execute(
        select(VectorStoreFile.stage, gone, func.count())
        .where(VectorStoreFile.batch_id == batch.id)
        .group_by(VectorStoreFile.stage, gone)
    )
    for stage, detached, files in rows:
        counts.add("cancelled" if detached and stage in UNFINISHED_STAGES else stage, files)
    return counts


def _newest(session: Session, store_id: str, file_id: str) -> VectorStoreFile | None:
    return session.scalar(
        select(VectorStoreFile)
        .where(
            VectorStoreFile.store_id == store_id,
            VectorStoreFile.file_id == file_id,
            VectorStoreFile.deleted_at.is_(None),
        )
        .order_by(VectorStoreFile.number.desc())
        .limit(1)
    )


def _files(session: Session, ids: Iterable[str]) -> dict[str, StoredFile]:
    wanted = list(ids)
    found = {
        row.id: row
        for row in session.scalars(select(StoredFile).where(StoredFile.id.in_(wanted), unexpired()))
    }
    for file_id in wanted:
        if file_id not in found:
            raise NotFound(f"No such file: {file_id}.", param="file_id", code="not_found")
    return found


def _attached(session: Session, store_id: str, ids: Iterable[str]) -> dict[str, VectorStoreFile]:
    rows = session.scalars(
        select(VectorStoreFile)
        .where(
            VectorStoreFile.store_id == store_id,
            VectorStoreFile.file_id.in_(list(ids)),
            VectorStoreFile.deleted_at.is_(None),
        )
        .order_by(VectorStoreFile.number)
    )
    return {row.file_id: row for row in rows}


def _check_room(session: Session, store: VectorStore, more: int, max_files: int) -> None:
    held = session.scalar(
        select(func.count())
        .select_from(VectorStoreFile)
        .where(VectorStoreFile.store_id == store.id, VectorStoreFile.deleted_at.is_(None))
    )
    if (held or 0) + more > max_files:
        raise InvalidRequest(
            f"Vector store {store.id} holds {held} files and may hold {max_files}; "
            f"{more} more do not fit.",
            param="file_id",
            code="vector_store_full",
        )


def _new_row(
    store: VectorStore, file: StoredFile, wish: FileAttach, default_chunking: dict[str, object]
) -> VectorStoreFile:
    attributes = dict(wish.attributes or {})
    source = str(attributes.get("source") or file.filename)
    return VectorStoreFile(
        project_id=store.project_id,
        store_id=store.id,
        file_id=file.id,
        # A key that no other document has is never replaced.
        document_key=file.id if wish.on_same_name == "keep" else source,
        filename=file.filename,
        attributes=attributes,
        chunking=wish.chunking_strategy or dict(default_chunking),
    )
