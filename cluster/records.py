"""The records: one SQLAlchemy model per table. The database is the truth; Milvus is an index of it.

A passage found in Milvus counts only if its `VectorStoreFile` row says `live`: that is what makes
replacement and deletion atomic. Every row carries a project id.
"""

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import JSON, BigInteger, Float, ForeignKey, Index, Integer, String, Text
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from cluster.ids import DEFAULT_PROJECT

__all__ = [
    "Base",
    "FileBatch",
    "ResponseRecord",
    "StoredFile",
    "Trace",
    "TraceScore",
    "VectorStore",
    "VectorStoreFile",
]

Json = JSON().with_variant(postgresql.JSONB(), "postgresql")
RowNumber = BigInteger().with_variant(Integer(), "sqlite")


def now() -> int:
    """Seconds since the epoch, as OpenAI's `created_at` wants them."""
    return int(datetime.now(UTC).timestamp())


class Base(DeclarativeBase):
    """Declarative base of all records."""

    type_annotation_map: ClassVar[dict[Any, Any]] = {dict[str, Any]: Json, list[Any]: Json}


class StoredFile(Base):
    """An uploaded file. Its bytes are in the store under `storage_key`."""

    __tablename__ = "files"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64), default=DEFAULT_PROJECT, index=True)
    filename: Mapped[str] = mapped_column(String(1024))
    purpose: Mapped[str] = mapped_column(String(32))
    bytes: Mapped[int] = mapped_column(BigInteger)
    sha256: Mapped[str] = mapped_column(String(64), index=True)
    storage_key: Mapped[str] = mapped_column(String(1024))
    created_at: Mapped[int] = mapped_column(BigInteger, default=now, index=True)
    expires_at: Mapped[int | None] = mapped_column(BigInteger)
    meta: Mapped[dict[str, Any]] = mapped_column(Json, default=dict, server_default="{}")
    """Of a training file: `dataset` (its counts), and `columns` where a mapping was given."""


class VectorStore(Base):
    """A named set of documents that are searched together."""

    __tablename__ = "vector_stores"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64), default=DEFAULT_PROJECT, index=True)
    name: Mapped[str] = mapped_column(String(256), default="")
    description: Mapped[str | None] = mapped_column(Text)
    meta: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    expires_after: Mapped[dict[str, Any] | None] = mapped_column(Json)
    created_at: Mapped[int] = mapped_column(BigInteger, default=now, index=True)
    last_active_at: Mapped[int] = mapped_column(BigInteger, default=now)
    deleted_at: Mapped[int | None] = mapped_column(BigInteger)


class FileBatch(Base):
    """Files attached to a store in one call; its counts are computed from the files."""

    __tablename__ = "file_batches"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64), default=DEFAULT_PROJECT)
    store_id: Mapped[str] = mapped_column(ForeignKey("vector_stores.id"), index=True)
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)
    cancelled_at: Mapped[int | None] = mapped_column(BigInteger)


class VectorStoreFile(Base):
    """One version of a document in a store, and the state of its ingestion.

    `number` is the key under which its passages stand in Milvus. `live` is True exactly while its
    passages may be found: it turns True when `stage` becomes `completed` (in the transaction that
    turns the version it replaces to False) and False when it is replaced or deleted.
    `document_key` names the document across versions (`attributes["source"]`, else the filename).
    `purged` is True once its passages are gone from Milvus.
    """

    __tablename__ = "vector_store_files"
    number: Mapped[int] = mapped_column(RowNumber, primary_key=True, autoincrement=True)
    project_id: Mapped[str] = mapped_column(String(64), default=DEFAULT_PROJECT)
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
    lease_until: Mapped[int | None] = mapped_column(BigInteger)
    """Whoever claimed the row owns it until then (seconds since the epoch) and renews it; a row in
    work whose lease has lapsed is claimed anew."""
    live: Mapped[bool] = mapped_column(default=False)
    deleted_at: Mapped[int | None] = mapped_column(BigInteger)
    """Set when the file was detached, or replaced by a newer version."""
    replaced_by: Mapped[int | None] = mapped_column(BigInteger)
    purged: Mapped[bool] = mapped_column(default=False)
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


class ResponseRecord(Base):
    """A stored `/v1/responses` object, and the conversation that led to it."""

    __tablename__ = "responses"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64), default=DEFAULT_PROJECT)
    body: Mapped[dict[str, Any]] = mapped_column(Json)
    messages: Mapped[list[Any]] = mapped_column(Json)
    """Chat messages up to and including this answer, for `previous_response_id`."""
    trace_id: Mapped[str | None] = mapped_column(String(64))
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)


class Trace(Base):
    """What one request did: inputs, passages, prompt and model version, tokens, time by stage."""

    __tablename__ = "traces"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64), default=DEFAULT_PROJECT, index=True)
    request_id: Mapped[str] = mapped_column(String(128), index=True)
    route: Mapped[str] = mapped_column(String(128))
    model: Mapped[str | None] = mapped_column(String(256))
    status: Mapped[int] = mapped_column(Integer)
    question: Mapped[str | None] = mapped_column(Text)
    answer: Mapped[str | None] = mapped_column(Text)
    prompt_version: Mapped[str | None] = mapped_column(String(128))
    body: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    """passages (used and left out), sentences with their support, tokens, timings_ms, error."""
    duration_ms: Mapped[float] = mapped_column(Float, default=0.0)
    created_at: Mapped[int] = mapped_column(BigInteger, default=now, index=True)


class TraceScore(Base):
    """One score of one trace, and who gave it."""

    __tablename__ = "trace_scores"
    trace_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64), default=DEFAULT_PROJECT)
    value: Mapped[float | None] = mapped_column(Float)
    """None where the score does not apply; the detail says why."""
    evaluator: Mapped[str] = mapped_column(String(128))
    detail: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)
