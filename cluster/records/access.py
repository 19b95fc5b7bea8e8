"""Who may do what: projects, keys, what was done, and what was used."""

from typing import Any

from sqlalchemy import BigInteger, Float, Index, Integer, String, Text, text
from sqlalchemy.orm import Mapped, mapped_column

from cluster.records.base import Base, Json, Owned, RowNumber, now
from cluster.tenancy import acting_project

__all__ = ["ApiKey", "AuditEvent", "AuditHead", "IdempotencyKey", "Project", "Usage"]


class Project(Base):
    """A tenant. Everything else belongs to one."""

    __tablename__ = "projects"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    name: Mapped[str] = mapped_column(String(128))
    """There once among the active ones: that of a deleted project may be used again."""
    status: Mapped[str] = mapped_column(String(16), default="active", index=True)
    """active, deleting (nothing answers any more, its data is on its way out) or deleted."""
    limits: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    """As `deployments.limits`; what it leaves out is as the settings say."""
    meta: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    report: Mapped[dict[str, Any] | None] = mapped_column(Json)
    """Of a deleted one: what was deleted where."""
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)
    deleted_at: Mapped[int | None] = mapped_column(BigInteger)

    __table_args__ = (
        Index(
            "ix_projects_active_name",
            "name",
            unique=True,
            sqlite_where=text("status = 'active'"),
            postgresql_where=text("status = 'active'"),
        ),
    )


class ApiKey(Owned, Base):
    """A key. The key itself is not kept: only its digest."""

    __tablename__ = "api_keys"
    id: Mapped[str] = mapped_column(String(64), primary_key=True)
    project_id: Mapped[str] = mapped_column(String(64), default=acting_project, index=True)
    name: Mapped[str] = mapped_column(String(128), default="")
    digest: Mapped[str] = mapped_column(String(64), unique=True)
    """SHA-256 of the key, hex. The key has 256 random bits, so no slow hash is needed."""
    shown: Mapped[str] = mapped_column(String(32))
    """Its first and last characters, to tell it from others."""
    scopes: Mapped[list[Any]] = mapped_column(Json)
    """Of `cluster.keys.SCOPES`."""
    limits: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    """As a project's; both are held."""
    meta: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    expires_at: Mapped[int | None] = mapped_column(BigInteger)
    revoked_at: Mapped[int | None] = mapped_column(BigInteger)
    last_used_at: Mapped[int | None] = mapped_column(BigInteger)
    """To a minute."""
    created_by: Mapped[str | None] = mapped_column(String(64))
    """The key that made it; None: the command line on the server."""
    created_at: Mapped[int] = mapped_column(BigInteger, default=now)


class AuditEvent(Owned, Base):
    """Somebody changed something. Triggers refuse to change it, or to delete it alone."""

    __tablename__ = "audit_events"
    number: Mapped[int] = mapped_column(RowNumber, primary_key=True, autoincrement=True)
    project_id: Mapped[str] = mapped_column(String(64), default=acting_project, index=True)
    actor: Mapped[str] = mapped_column(String(64))
    """Id of the key; `cli` for the command line on the server, `system` for Everloop itself."""
    action: Mapped[str] = mapped_column(String(64), index=True)
    """`key.created`, `alias.promoted`, `file.deleted`, …"""
    object_id: Mapped[str] = mapped_column(String(256), index=True)
    request_id: Mapped[str | None] = mapped_column(String(128))
    detail: Mapped[dict[str, Any]] = mapped_column(Json, default=dict)
    previous: Mapped[str | None] = mapped_column(String(64))
    """Digest of the event before, so that a removed or changed one is noticed."""
    digest: Mapped[str] = mapped_column(String(64))
    created_at: Mapped[int] = mapped_column(BigInteger, default=now, index=True)


class AuditHead(Owned, Base):
    """Where a project's chain of events ends. Whoever adds one holds this row meanwhile."""

    __tablename__ = "audit_heads"
    project_id: Mapped[str] = mapped_column(String(64), primary_key=True, default=acting_project)
    events: Mapped[int] = mapped_column(BigInteger, default=0)
    digest: Mapped[str | None] = mapped_column(String(64))
    """Of the last event; None before the first."""


class Usage(Owned, Base):
    """What a key used in a month of one model. Counted up in place."""

    __tablename__ = "usage"
    project_id: Mapped[str] = mapped_column(String(64), primary_key=True, default=acting_project)
    key_id: Mapped[str] = mapped_column(String(64), primary_key=True)
    month: Mapped[str] = mapped_column(String(7), primary_key=True)
    """`2026-11`, in UTC."""
    model: Mapped[str] = mapped_column(String(256), primary_key=True, default="")
    """Empty: of requests that asked none."""
    requests: Mapped[int] = mapped_column(BigInteger, default=0)
    prompt_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    completion_tokens: Mapped[int] = mapped_column(BigInteger, default=0)
    cost: Mapped[float] = mapped_column(Float, default=0.0)
    """In the currency of `tracing.prices`."""
    updated_at: Mapped[int] = mapped_column(BigInteger, default=now)


class IdempotencyKey(Owned, Base):
    """A creating request that named itself, and what it was answered."""

    __tablename__ = "idempotency_keys"
    project_id: Mapped[str] = mapped_column(String(64), primary_key=True, default=acting_project)
    key: Mapped[str] = mapped_column(String(255), primary_key=True)
    route: Mapped[str] = mapped_column(String(256))
    request_digest: Mapped[str] = mapped_column(String(64))
    """Of method, path and body, once it was read: a key that comes again with another request is
    refused."""
    made: Mapped[str | None] = mapped_column(Text)
    """JSON: names of what the request made, written by the transaction that made it."""
    status: Mapped[int | None] = mapped_column(Integer)
    """None until the first request was answered."""
    answer: Mapped[str | None] = mapped_column(Text)
    attempt: Mapped[str] = mapped_column(String(64))
    """Who works on it now; an older attempt may not write."""
    lease_until: Mapped[int | None] = mapped_column(BigInteger)
    created_at: Mapped[int] = mapped_column(BigInteger, default=now, index=True)
