"""Training jobs, adapters, and the aliases that point at them."""

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from cluster.records.base import Base, Json, Owned, RowNumber, now
from cluster.tenancy import acting_project

__all__ = [
    "Adapter",
    "Alias",
    "AliasMove",
    "FineTuningCheckpoint",
    "FineTuningEvent",
    "FineTuningJob",
    "GateRun",
]


class FineTuningJob(Owned, Base):
    """A fine-tuning job. The row is the queue: whoever holds its lease runs it.

    `settings` is the whole training run as resolved when the job was made. `attempts` fences: a run
    that was given up on may not write any more.
    """

    __tablename__ = "fine_tuning_jobs"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64), default=acting_project, index=True)
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


class FineTuningEvent(Owned, Base):
    """Something that a job has to tell."""

    __tablename__ = "fine_tuning_events"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("fine_tuning_jobs.id"), index=True)
    level: Mapped[str] = mapped_column(String(8), default="info")
    type: Mapped[str] = mapped_column(String(16), default="message")
    """`message` or `metrics`."""
    message: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)


class FineTuningCheckpoint(Owned, Base):
    """A checkpoint that a job wrote."""

    __tablename__ = "fine_tuning_checkpoints"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    job_id: Mapped[str] = mapped_column(ForeignKey("fine_tuning_jobs.id"), index=True)
    adapter_id: Mapped[str] = mapped_column(String(256))
    step: Mapped[int] = mapped_column(Integer)
    metrics: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)


class Adapter(Owned, Base):
    """An immutable adapter version, and where it comes from."""

    __tablename__ = "adapters"
    id: Mapped[str] = mapped_column(String(256), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64), default=acting_project, index=True)
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


class Alias(Owned, Base):
    """A name that clients call, and what answers to it now."""

    __tablename__ = "aliases"
    project_id: Mapped[str] = mapped_column(String(64), primary_key=True, default=acting_project)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    target: Mapped[str] = mapped_column(String(256))
    """Id of a served model or of an adapter."""
    serving: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """A `deployments.serving.Serving`: prompt and retrieval that go with it; None: defaults."""
    version: Mapped[int] = mapped_column(Integer, default=1)
    """Counts its moves."""
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)
    updated_at: Mapped[int] = mapped_column(BigInteger, default=now)


class AliasMove(Owned, Base):
    """One move of an alias. Never changed, never deleted."""

    __tablename__ = "alias_moves"
    number: Mapped[int] = mapped_column(RowNumber, primary_key=True, autoincrement=True)
    alias: Mapped[str] = mapped_column(String(64), index=True)
    version: Mapped[int] = mapped_column(Integer)
    """The alias's version after the move."""
    source: Mapped[str | None] = mapped_column(String(256))
    """What answered before; None for the first."""
    target: Mapped[str] = mapped_column(String(256))
    source_serving: Mapped[dict[str, Any] | None] = mapped_column(Json)
    serving: Mapped[dict[str, Any] | None] = mapped_column(Json)
    kind: Mapped[str] = mapped_column(String(16))
    """created, promoted (by a gate), override (by a person) or rollback."""
    reason: Mapped[str | None] = mapped_column(Text)
    gate_id: Mapped[str | None] = mapped_column(String(64))
    undone: Mapped[int] = mapped_column(Integer, default=0)
    """Of a rollback: how many moves it took back."""
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)


class GateRun(Owned, Base):
    """A comparison of an adapter with what an alias answers by, and its verdict. Also a queue."""

    __tablename__ = "gate_runs"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64), default=acting_project, index=True)
    status: Mapped[str] = mapped_column(String(20), default="queued", index=True)
    """queued, running, completed, failed or cancelled."""
    alias: Mapped[str] = mapped_column(String(64))
    adapter_id: Mapped[str] = mapped_column(String(256))
    """The candidate: an adapter, or `arm:EXPERIMENT:ARM` of an experiment."""
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
