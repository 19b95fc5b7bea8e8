"""Evals, their runs, and what was said of them."""

from typing import Any

from sqlalchemy import BigInteger, ForeignKey, Index, Integer, String, UniqueConstraint
from sqlalchemy.orm import Mapped, mapped_column

from cluster.records.base import Base, Json, Owned, now
from cluster.tenancy import acting_project

__all__ = ["Eval", "EvalComparison", "EvalItem", "EvalRun", "JudgeVerdict"]


class Eval(Owned, Base):
    """What is evaluated: the form of the data, and the graders. Its runs share both."""

    __tablename__ = "evals"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64), default=acting_project, index=True)
    name: Mapped[str] = mapped_column(String(256), default="")
    data_source_config: Mapped[dict[str, Any]] = mapped_column(Json)
    """As the client gave it."""
    testing_criteria: Mapped[list[Any]] = mapped_column(Json)
    """The graders, as the client gave them; never changed."""
    meta: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)
    updated_at: Mapped[int] = mapped_column(BigInteger, default=now, index=True)


class EvalRun(Owned, Base):
    """One run of an eval over items, which are rows of their own and the queue of its work."""

    __tablename__ = "eval_runs"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64), default=acting_project, index=True)
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


class EvalItem(Owned, Base):
    """One item of a run, its answer and its scores. Whoever holds the lease works on it.

    `attempts` fences: sample and scores are written by the attempt that counts, once.
    """

    __tablename__ = "eval_items"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    """Grows with the number."""
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


class EvalComparison(Owned, Base):
    """Two runs of one eval, item by item, and what may be said of their difference."""

    __tablename__ = "eval_comparisons"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64), default=acting_project, index=True)
    baseline_run: Mapped[str] = mapped_column(String(64))
    candidate_run: Mapped[str] = mapped_column(String(64))
    settings: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    report: Mapped[dict[str, Any]] = mapped_column(Json)
    page_key: Mapped[str | None] = mapped_column(String(1024))
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)


class JudgeVerdict(Owned, Base):
    """What a judge said, by a digest of all that it was asked. A cache: rows may go any time."""

    __tablename__ = "judge_verdicts"
    project_id: Mapped[str] = mapped_column(String(64), primary_key=True, default=acting_project)
    key: Mapped[str] = mapped_column(String(128), primary_key=True)
    value: Mapped[dict[str, Any]] = mapped_column(Json)
    created_at: Mapped[int] = mapped_column(BigInteger, default=now, index=True)
