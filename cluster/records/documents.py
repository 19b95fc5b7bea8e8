"""Files, vector stores, and the versions of documents in them."""

from typing import Any

from sqlalchemy import BigInteger, Boolean, ForeignKey, Index, Integer, String, Text, false
from sqlalchemy.orm import Mapped, mapped_column

from cluster.records.base import Base, Json, Owned, RowNumber, now
from cluster.tenancy import acting_project

__all__ = ["FileBatch", "StoredFile", "VectorStore", "VectorStoreFile"]


class StoredFile(Owned, Base):
    """An uploaded file. Its bytes are in the store under `storage_key`."""

    __tablename__ = "files"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64), default=acting_project, index=True)
    filename: Mapped[str] = mapped_column(String(1024))
    purpose: Mapped[str] = mapped_column(String(32))
    bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    storage_key: Mapped[str] = mapped_column(String(1024))
    created_at: Mapped[int] = mapped_column(BigInteger, default=now, index=True)
    expires_at: Mapped[int | None] = mapped_column(BigInteger)
    meta: Mapped[dict[str, Any]] = mapped_column(Json, default=dict, server_default="{}")
    """Of a training file: `dataset` (its counts), and `columns` where a mapping was given."""


class VectorStore(Owned, Base):
    """A named set of documents that are searched together."""

    __tablename__ = "vector_stores"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64), default=acting_project, index=True)
    name: Mapped[str] = mapped_column(String(256), default="")
    description: Mapped[str | None] = mapped_column(Text)
    meta: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    expires_after: Mapped[dict[str, Any] | None] = mapped_column(Json)
    created_at: Mapped[int] = mapped_column(BigInteger, default=now, index=True)
    last_active_at: Mapped[int] = mapped_column(BigInteger, default=now)
    deleted_at: Mapped[int | None] = mapped_column(BigInteger)


class FileBatch(Owned, Base):
    """Files attached to a store in one call; its counts are computed from the files."""

    __tablename__ = "file_batches"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    store_id: Mapped[str] = mapped_column(ForeignKey("vector_stores.id"), index=True)
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)
    cancelled_at: Mapped[int | None] = mapped_column(BigInteger)


class VectorStoreFile(Owned, Base):
    """One version of a document in a store, and the state of its ingestion.

    `number` is the key under which its passages stand in Milvus. `live` is True exactly while its
    passages may be found: it turns True when `stage` becomes `completed` (in the transaction that
    turns the version it replaces to False) and False when it is replaced or deleted.
    `document_key` names the document across versions (`attributes["source"]`, else the filename).
    `purged` is True once its passages are gone from Milvus.
    """

    __tablename__ = "vector_store_files"
    number: Mapped[int] = mapped_column(RowNumber, primary_key=True, autoincrement=True)
    store_id: Mapped[str] = mapped_column(ForeignKey("vector_stores.id"))
    file_id: Mapped[str] = mapped_column(String(64), index=True)
    batch_id: Mapped[str | None] = mapped_column(String(64), index=True)
    document_key: Mapped[str] = mapped_column(String(1024))
    filename: Mapped[str] = mapped_column(String(1024))
    attributes: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    chunking: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    stage: Mapped[str] = mapped_column(String(16), default="queued")
    """queued, parsing, chunking, embedding, indexing, completed, failed or cancelled."""
    failed_stage: Mapped[str | None] = mapped_column(String(16))
    error_code: Mapped[str | None] = mapped_column(String(64))
    error_message: Mapped[str | None] = mapped_column(Text)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    """Times it was claimed; also the fencing token: an older claimant may not write."""
    deaths: Mapped[int] = mapped_column(Integer, default=0, server_default="0")
    """Workers that died while it was in work, by it or by another that they had in work."""
    alone: Mapped[bool] = mapped_column(Boolean, default=False, server_default=false())
    """Whether its last claim let no other beside it, and still does not."""
    lease_until: Mapped[int | None] = mapped_column(BigInteger)
    """Whoever claimed the row owns it until then (seconds since the epoch) and renews it; a row in
    work whose lease has lapsed is claimed anew."""
    live: Mapped[bool] = mapped_column(default=False)
    deleted_at: Mapped[int | None] = mapped_column(BigInteger)
    """Set when the file was detached, or replaced by a newer version."""
    replaced_by: Mapped[int | None] = mapped_column(BigInteger)
    purged: Mapped[bool] = mapped_column(default=False)
    forget_at: Mapped[int | None] = mapped_column(BigInteger, index=True)
    """When what quotes it is to be cleared, for it was taken out and not replaced. None: it was
    not, or that is done."""
    passages: Mapped[int] = mapped_column(Integer, default=0)
    passages_done: Mapped[int] = mapped_column(Integer, default=0)
    usage_bytes: Mapped[int] = mapped_column(BigInteger, default=0)
    language: Mapped[str | None] = mapped_column(String(16))
    pages: Mapped[int | None] = mapped_column(Integer)
    timings_ms: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)
    completed_at: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = (
        Index("ix_vsf_store_file", "store_id", "file_id"),
        Index("ix_vsf_store_document", "store_id", "document_key"),
        Index("ix_vsf_stage", "stage"),
    )
