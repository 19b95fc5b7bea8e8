"""The records: one SQLAlchemy model per table. The database is the truth; Milvus is an index of it.

A passage found in Milvus counts only if its `VectorStoreFile` row says `live`: that is what makes
replacement and deletion atomic. Every row carries a project id.
"""

from datetime import UTC, datetime
from typing import Any, ClassVar

from sqlalchemy import (
    JSON,
    BigInteger,
    Float,
    ForeignKey,
    Index,
    Integer,
    String,
    Text,
    UniqueConstraint,
)
from sqlalchemy.dialects import postgresql
from sqlalchemy.orm import DeclarativeBase, Mapped, mapped_column

from cluster.ids import DEFAULT_PROJECT

__all__ = [
    "Adapter",
    "Alias",
    "AliasMove",
    "Base",
    "Eval",
    "EvalComparison",
    "EvalItem",
    "EvalRun",
    "FileBatch",
    "FineTuningCheckpoint",
    "FineTuningEvent",
    "FineTuningJob",
    "GateRun",
    "JudgeVerdict",
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


class FineTuningJob(Base):
    """A fine-tuning job. The row is the queue: whoever holds its lease runs it.

    `settings` is the whole training run as resolved when the job was made. `attempts` fences: a run
    that was given up on may not write any more.
    """

    __tablename__ = "fine_tuning_jobs"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64), default=DEFAULT_PROJECT, index=True)
    status: Mapped[str] = mapped_column(String(20), default="queued", index=True)
    """queued, running, paused, succeeded, failed or cancelled."""
    wish: Mapped[str | None] = mapped_column(String(16))
    """What a running job is asked to become: `cancel`, `pause` (by a person) or `yield` (to
    serving, after which it is queued again)."""
    model: Mapped[str] = mapped_column(String(256))
    """Id of the served base model."""
    training_file: Mapped[str] = mapped_column(String(64))
    validation_file: Mapped[str | None] = mapped_column(String(64))
    evaluation_file: Mapped[str | None] = mapped_column(String(64))
    """What the gate compares on; never trained on."""
    suffix: Mapped[str | None] = mapped_column(String(64))
    method: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    """As the client gave it, with `auto` resolved."""
    meta: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    settings: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    gate: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """Alias and settings of the gate that follows; None where none was asked for."""
    gate_id: Mapped[str | None] = mapped_column(String(64))
    adapter_id: Mapped[str | None] = mapped_column(String(256))
    trained_tokens: Mapped[int | None] = mapped_column(BigInteger)
    result_files: Mapped[list[Any]] = mapped_column(Json, default=list)
    report: Mapped[dict[str, Any] | None] = mapped_column(Json)
    error: Mapped[dict[str, Any] | None] = mapped_column(Json)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    crashes: Mapped[int] = mapped_column(Integer, default=0)
    """Times in a row that it ended without a word."""
    submission: Mapped[str | None] = mapped_column(String(128))
    """Ray's id of the job that runs it."""
    lease_until: Mapped[int | None] = mapped_column(BigInteger)
    """A running job renews it; one whose lease has lapsed is started again."""
    not_before: Mapped[int] = mapped_column(BigInteger, default=0, server_default="0")
    """A job that yielded to serving is not started again before."""
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)
    started_at: Mapped[int | None] = mapped_column(BigInteger)
    finished_at: Mapped[int | None] = mapped_column(BigInteger)
    estimated_finish: Mapped[int | None] = mapped_column(BigInteger)


class FineTuningEvent(Base):
    """Something that a job has to tell."""

    __tablename__ = "fine_tuning_events"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("fine_tuning_jobs.id"), index=True)
    project_id: Mapped[str] = mapped_column(String(64), default=DEFAULT_PROJECT)
    level: Mapped[str] = mapped_column(String(8), default="info")
    type: Mapped[str] = mapped_column(String(16), default="message")
    """`message` or `metrics`."""
    message: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)


class FineTuningCheckpoint(Base):
    """A checkpoint that a job wrote."""

    __tablename__ = "fine_tuning_checkpoints"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("fine_tuning_jobs.id"), index=True)
    project_id: Mapped[str] = mapped_column(String(64), default=DEFAULT_PROJECT)
    adapter_id: Mapped[str] = mapped_column(String(256))
    step: Mapped[int] = mapped_column(Integer)
    metrics: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)


class Adapter(Base):
    """An immutable adapter version, and where it comes from."""

    __tablename__ = "adapters"
    id: Mapped[str] = mapped_column(String(256), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64), default=DEFAULT_PROJECT, index=True)
    number: Mapped[str] = mapped_column(String(64), unique=True)
    """Grows with creation; lists are ordered by it."""
    base: Mapped[str] = mapped_column(String(256))
    """Id of the served model that it sits on."""
    base_revision: Mapped[str] = mapped_column(String(64))
    """Digest of that model's folder when it was trained on."""
    kind: Mapped[str] = mapped_column(String(16))
    files: Mapped[dict[str, Any]] = mapped_column(Json)
    """A `cluster.adapters.AdapterFiles`."""
    bytes: Mapped[int] = mapped_column(BigInteger)
    lineage: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    """Job, data files with their digests, receipt, settings, versions of code."""
    metrics: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)
    deleted_at: Mapped[int | None] = mapped_column(BigInteger)


class Alias(Base):
    """A name that clients call, and what answers to it now."""

    __tablename__ = "aliases"
    project_id: Mapped[str] = mapped_column(String(64), primary_key=True, default=DEFAULT_PROJECT)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    target: Mapped[str] = mapped_column(String(256))
    """Id of a served model or of an adapter."""
    version: Mapped[int] = mapped_column(Integer, default=1)
    """Counts its moves."""
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)
    updated_at: Mapped[int] = mapped_column(BigInteger, default=now)


class AliasMove(Base):
    """One move of an alias. Never changed, never deleted."""

    __tablename__ = "alias_moves"
    number: Mapped[int] = mapped_column(RowNumber, primary_key=True, autoincrement=True)
    project_id: Mapped[str] = mapped_column(String(64), default=DEFAULT_PROJECT)
    alias: Mapped[str] = mapped_column(String(64), index=True)
    version: Mapped[int] = mapped_column(Integer)
    """The alias's version after the move."""
    source: Mapped[str | None] = mapped_column(String(256))
    """What answered before; None for the first."""
    target: Mapped[str] = mapped_column(String(256))
    kind: Mapped[str] = mapped_column(String(16))
    """created, promoted (by a gate), override (by a person) or rollback."""
    reason: Mapped[str | None] = mapped_column(Text)
    gate_id: Mapped[str | None] = mapped_column(String(64))
    undone: Mapped[int] = mapped_column(Integer, default=0)
    """Of a rollback: how many moves it took back."""
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)


class GateRun(Base):
    """A comparison of an adapter with what an alias answers by, and its verdict. Also a queue."""

    __tablename__ = "gate_runs"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64), default=DEFAULT_PROJECT, index=True)
    status: Mapped[str] = mapped_column(String(20), default="queued", index=True)
    """queued, running, completed, failed or cancelled."""
    alias: Mapped[str] = mapped_column(String(64))
    adapter_id: Mapped[str] = mapped_column(String(256))
    champion: Mapped[str | None] = mapped_column(String(256))
    """What the alias answered by when the comparison began."""
    evaluation_file: Mapped[str] = mapped_column(String(64))
    settings: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    job_id: Mapped[str | None] = mapped_column(String(64))
    verdict: Mapped[str | None] = mapped_column(String(16))
    """promote, inconclusive or refuse."""
    promoted: Mapped[bool] = mapped_column(default=False)
    report: Mapped[dict[str, Any] | None] = mapped_column(Json)
    page_key: Mapped[str | None] = mapped_column(String(1024))
    """Where in the byte store the readable page lies."""
    error: Mapped[dict[str, Any] | None] = mapped_column(Json)
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    crashes: Mapped[int] = mapped_column(Integer, default=0)
    """Times in a row that it ended without a word."""
    submission: Mapped[str | None] = mapped_column(String(128))
    lease_until: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)
    started_at: Mapped[int | None] = mapped_column(BigInteger)
    finished_at: Mapped[int | None] = mapped_column(BigInteger)


class Eval(Base):
    """What is evaluated: the form of the data, and the graders. Its runs share both."""

    __tablename__ = "evals"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64), default=DEFAULT_PROJECT, index=True)
    name: Mapped[str] = mapped_column(String(256), default="")
    data_source_config: Mapped[dict[str, Any]] = mapped_column(Json)
    """As the client gave it."""
    testing_criteria: Mapped[list[Any]] = mapped_column(Json)
    """The graders, as the client gave them; never changed."""
    meta: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)
    updated_at: Mapped[int] = mapped_column(BigInteger, default=now, index=True)


class EvalRun(Base):
    """One run of an eval over items, which are rows of their own and the queue of its work."""

    __tablename__ = "eval_runs"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64), default=DEFAULT_PROJECT, index=True)
    eval_id: Mapped[str] = mapped_column(ForeignKey("evals.id"), index=True)
    name: Mapped[str] = mapped_column(String(256), default="")
    status: Mapped[str] = mapped_column(String(16), default="queued", index=True)
    """queued, in_progress, completed, canceled or failed."""
    model: Mapped[str | None] = mapped_column(String(256))
    """What is asked for the answers, as the client named it; None where they are given."""
    data_source: Mapped[dict[str, Any]] = mapped_column(Json)
    """As the client gave it, but for rows in the body, which are items now."""
    items: Mapped[int] = mapped_column(Integer, default=0)
    """How many there are."""
    meta: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    summary: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """Counts and figures by grader; written once, when the last item is done."""
    report: Mapped[dict[str, Any] | None] = mapped_column(Json)
    page_key: Mapped[str | None] = mapped_column(String(1024))
    """Where in the byte store the readable page lies."""
    error: Mapped[dict[str, Any] | None] = mapped_column(Json)
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)
    started_at: Mapped[int | None] = mapped_column(BigInteger)
    finished_at: Mapped[int | None] = mapped_column(BigInteger)


class EvalItem(Base):
    """One item of a run, its answer and its scores. Whoever holds the lease works on it.

    `attempts` fences: sample and scores are written by the attempt that counts, once.
    """

    __tablename__ = "eval_items"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    """Grows with the number."""
    project_id: Mapped[str] = mapped_column(String(64), default=DEFAULT_PROJECT)
    run_id: Mapped[str] = mapped_column(ForeignKey("eval_runs.id"))
    number: Mapped[int] = mapped_column(Integer)
    """From 1, in the order of the data."""
    status: Mapped[str] = mapped_column(String(16), default="queued")
    """queued, running or done."""
    outcome: Mapped[str | None] = mapped_column(String(8))
    """Of a done one: pass, fail or error."""
    item: Mapped[dict[str, Any]] = mapped_column(Json)
    given: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """The answer that the data brought along."""
    sample: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """The answer that was scored, as a `Sample`, with the messages that led to it."""
    scores: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """By grader: value, passed, detail."""
    error: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """Of an item without scores: code and message."""
    attempts: Mapped[int] = mapped_column(Integer, default=0)
    lease_until: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)
    finished_at: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = (
        UniqueConstraint("run_id", "number", name="uq_eval_items_run_number"),
        Index("ix_eval_items_run_status", "run_id", "status"),
    )


class EvalComparison(Base):
    """Two runs of one eval, item by item, and what may be said of their difference."""

    __tablename__ = "eval_comparisons"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64), default=DEFAULT_PROJECT, index=True)
    baseline_run: Mapped[str] = mapped_column(String(64))
    candidate_run: Mapped[str] = mapped_column(String(64))
    settings: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    report: Mapped[dict[str, Any]] = mapped_column(Json)
    page_key: Mapped[str | None] = mapped_column(String(1024))
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)


class JudgeVerdict(Base):
    """What a judge said, by a digest of all that it was asked. A cache: rows may go any time."""

    __tablename__ = "judge_verdicts"
    project_id: Mapped[str] = mapped_column(String(64), primary_key=True, default=DEFAULT_PROJECT)
    key: Mapped[str] = mapped_column(String(128), primary_key=True)
    value: Mapped[dict[str, Any]] = mapped_column(Json)
    created_at: Mapped[int] = mapped_column(BigInteger, default=now, index=True)
