"""What runs while people use the system: experiments, feedback, drift, alerts, lineage."""

from typing import Any

from sqlalchemy import (
    BigInteger,
    Float,
    ForeignKey,
    Index,
    Integer,
    LargeBinary,
    String,
    Text,
    text,
)
from sqlalchemy.orm import Mapped, mapped_column

from cluster.records.base import Base, Json, Owned, now
from cluster.tenancy import acting_project

__all__ = [
    "Alert",
    "DriftMonitor",
    "DriftReport",
    "Experiment",
    "ExperimentEvent",
    "Feedback",
    "LineageEdge",
    "QuestionVector",
]


class Experiment(Owned, Base):
    """Arms that share the traffic of an alias, and what was found out about them."""

    __tablename__ = "experiments"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64), default=acting_project, index=True)
    name: Mapped[str] = mapped_column(String(256), default="")
    status: Mapped[str] = mapped_column(String(16), default="draft", index=True)
    """draft, running, decided or stopped."""
    alias: Mapped[str] = mapped_column(String(64))
    """Whose traffic is split."""
    arms: Mapped[list[Any]] = mapped_column(Json)
    """As `deployments.experiments.arms.Arm`, the control first; fixed once it runs."""
    settings: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    """Metric, guardrails, errors allowed, ramp, promotion."""
    salt: Mapped[str] = mapped_column(String(32))
    """What users are assigned by, with their id."""
    state: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    """Share of the traffic now, stopped arms and why."""
    version: Mapped[int] = mapped_column(Integer, default=1)
    """Counts changes of the state; a change expects the version that it read."""
    report: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """The last look at it."""
    decision: Mapped[dict[str, Any] | None] = mapped_column(Json)
    promotion: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """How far the winner's promotion has come."""
    meta: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)
    started_at: Mapped[int | None] = mapped_column(BigInteger)
    ended_at: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = (
        Index(
            "uq_experiments_running_alias",
            "project_id",
            "alias",
            unique=True,
            sqlite_where=text("status = 'running'"),
            postgresql_where=text("status = 'running'"),
        ),
    )


class ExperimentEvent(Owned, Base):
    """Something that happened to an experiment. Never changed."""

    __tablename__ = "experiment_events"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    experiment_id: Mapped[str] = mapped_column(ForeignKey("experiments.id"), index=True)
    type: Mapped[str] = mapped_column(String(32))
    message: Mapped[str] = mapped_column(Text)
    data: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)


class Feedback(Owned, Base):
    """What somebody said of an answer. Whoever says it again about the same changes it."""

    __tablename__ = "feedback"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64), default=acting_project, index=True)
    trace_id: Mapped[str] = mapped_column(String(64), index=True)
    """The trace was there when this was said; it may be gone by now."""
    name: Mapped[str] = mapped_column(String(64), default="feedback")
    """What was asked; scores of one name can be compared."""
    source: Mapped[str] = mapped_column(String(16), default="api")
    """api or end_user (through a signed token)."""
    user_id: Mapped[str | None] = mapped_column(String(64))
    """A digest of who said it, as in traces."""
    thumbs: Mapped[str | None] = mapped_column(String(8))
    """up or down."""
    score: Mapped[float | None] = mapped_column(Float)
    """0 to 1."""
    correction: Mapped[str | None] = mapped_column(Text)
    """What the answer should have been."""
    comment: Mapped[str | None] = mapped_column(Text)
    review: Mapped[str] = mapped_column(String(16), default="pending", index=True)
    """pending, accepted or rejected; training rows are made of accepted ones."""
    reviewer: Mapped[str | None] = mapped_column(String(128))
    reviewed_at: Mapped[int | None] = mapped_column(BigInteger)
    meta: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)
    updated_at: Mapped[int] = mapped_column(BigInteger, default=now)


class DriftMonitor(Owned, Base):
    """What is compared with what, how often, and how far it has come."""

    __tablename__ = "drift_monitors"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64), default=acting_project, index=True)
    name: Mapped[str] = mapped_column(String(256), default="")
    status: Mapped[str] = mapped_column(String(16), default="active", index=True)
    """active or paused."""
    settings: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    """Which traces, windows, signals, thresholds and schedule."""
    state: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    """Reference window, and for each signal how long it has been out of bounds."""
    next_at: Mapped[int] = mapped_column(BigInteger, default=0, index=True)
    lease_until: Mapped[int | None] = mapped_column(BigInteger)
    error: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """Why the last look failed."""
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)
    updated_at: Mapped[int] = mapped_column(BigInteger, default=now)


class DriftReport(Owned, Base):
    """One look of a monitor."""

    __tablename__ = "drift_reports"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    monitor_id: Mapped[str] = mapped_column(ForeignKey("drift_monitors.id"), index=True)
    drifted: Mapped[bool] = mapped_column(default=False)
    """Some signal is out of bounds."""
    alert_id: Mapped[str | None] = mapped_column(String(64))
    """The alert that it raised, where the drift has persisted."""
    body: Mapped[dict[str, Any]] = mapped_column(Json)
    """Windows, signals with their values and bounds, topics with example questions."""
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)


class QuestionVector(Owned, Base):
    """A question's embedding. A cache: rows may go any time."""

    __tablename__ = "question_vectors"
    trace_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    model: Mapped[str] = mapped_column(String(128), primary_key=True)
    vector: Mapped[bytes] = mapped_column(LargeBinary)
    """float32, little-endian."""
    created_at: Mapped[int] = mapped_column(BigInteger, default=now, index=True)


class Alert(Owned, Base):
    """Something that a person should look at, and how its delivery goes."""

    __tablename__ = "alerts"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64), default=acting_project, index=True)
    kind: Mapped[str] = mapped_column(String(64))
    """drift, experiment.arm_stopped, experiment.sample_ratio, …"""
    source_id: Mapped[str] = mapped_column(String(64), index=True)
    """Id of the monitor or experiment that raised it."""
    title: Mapped[str] = mapped_column(Text)
    body: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    status: Mapped[str] = mapped_column(String(16), default="open", index=True)
    """open, acknowledged or resolved."""
    deliveries: Mapped[list[Any]] = mapped_column(Json, default=list)
    """By webhook: url, attempts, delivered_at, last error."""
    deliver_at: Mapped[int | None] = mapped_column(BigInteger, default=now, index=True)
    """When it is next tried; None once all have it or are given up."""
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)
    updated_at: Mapped[int] = mapped_column(BigInteger, default=now)


class LineageEdge(Owned, Base):
    """`source` had a part in `target`. What other records say by themselves has no edge here."""

    __tablename__ = "lineage_edges"
    project_id: Mapped[str] = mapped_column(String(64), primary_key=True, default=acting_project)
    source: Mapped[str] = mapped_column(String(256), primary_key=True)
    target: Mapped[str] = mapped_column(String(256), primary_key=True)
    kind: Mapped[str] = mapped_column(String(32), primary_key=True)
    """found, used or cited (a file by an answer), row (a trace or feedback of a dataset), …"""
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)

    __table_args__ = (Index("ix_lineage_edges_target", "project_id", "target"),)
