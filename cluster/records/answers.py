"""What requests did, and how their answers scored."""

from typing import Any

from sqlalchemy import BigInteger, Float, Index, Integer, String, Text
from sqlalchemy.orm import Mapped, mapped_column

from cluster.records.base import Base, Json, Owned, now
from cluster.tenancy import acting_project

__all__ = ["ResponseRecord", "Trace", "TraceScore"]


class ResponseRecord(Owned, Base):
    """A stored `/v1/responses` object, and the conversation that led to it."""

    __tablename__ = "responses"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    body: Mapped[dict[str, Any]] = mapped_column(Json)
    messages: Mapped[list[Any]] = mapped_column(Json)
    """Chat messages up to and including this answer, for `previous_response_id`."""
    trace_id: Mapped[str | None] = mapped_column(String(64), index=True)
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)


class Trace(Owned, Base):
    """What one request did: inputs, passages, prompt and model version, tokens, time by stage."""

    __tablename__ = "traces"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64), default=acting_project, index=True)
    request_id: Mapped[str] = mapped_column(String(128), index=True)
    route: Mapped[str] = mapped_column(String(128))
    model: Mapped[str | None] = mapped_column(String(256))
    status: Mapped[int] = mapped_column(Integer)
    question: Mapped[str | None] = mapped_column(Text)
    answer: Mapped[str | None] = mapped_column(Text)
    prompt_version: Mapped[str | None] = mapped_column(String(128), index=True)
    alias: Mapped[str | None] = mapped_column(String(64))
    """The name that the client called, where it was an alias."""
    user_id: Mapped[str | None] = mapped_column(String(64), index=True)
    """A digest of who asked, where the client said."""
    key_id: Mapped[str | None] = mapped_column(String(64), index=True)
    """The key that it came with."""
    experiment_id: Mapped[str | None] = mapped_column(String(64))
    arm: Mapped[str | None] = mapped_column(String(64))
    shadow_of: Mapped[str | None] = mapped_column(String(64), index=True)
    """Of a shadow request, whose answer nobody saw: the trace of the real one."""
    refused: Mapped[bool | None] = mapped_column()
    """Whether it said that it does not know; None where that was not looked at."""
    error_code: Mapped[str | None] = mapped_column(String(64))
    prompt_tokens: Mapped[int | None] = mapped_column(Integer)
    completion_tokens: Mapped[int | None] = mapped_column(Integer)
    cost: Mapped[float | None] = mapped_column(Float)
    """In the currency of `tracing.prices`; None where its model has no price."""
    body: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    """input, passages (used and left out), sentences with their support, tokens, timings_ms, error;
    see `deployments.tracing.draft.TraceDraft`."""
    duration_ms: Mapped[float] = mapped_column(Float, default=0.0)
    created_at: Mapped[int] = mapped_column(BigInteger, default=now, index=True)

    __table_args__ = (
        Index("ix_traces_experiment", "experiment_id", "id"),
        Index("ix_traces_model", "model", "id"),
        Index("ix_traces_status", "status", "id"),
    )


class TraceScore(Owned, Base):
    """One score of one trace, and who gave it."""

    __tablename__ = "trace_scores"
    trace_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(64), primary_key=True)
    value: Mapped[float | None] = mapped_column(Float)
    """None where the score does not apply; the detail says why."""
    evaluator: Mapped[str] = mapped_column(String(128))
    detail: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)

    __table_args__ = (Index("ix_trace_scores_name", "name", "value"),)
