"""What the routes of keys, projects and the audit log answer."""

from typing import Any, Literal, Self

from pydantic import BaseModel

from cluster.audit import ChainCheck
from cluster.records import ApiKey, AuditEvent, Project, now

__all__ = ["AuditCheckObject", "AuditEventObject", "KeyObject", "NewKeyObject", "ProjectObject"]


class KeyObject(BaseModel):
    """A key, without what opens the door."""

    id: str
    object: Literal["api_key"] = "api_key"
    name: str
    project: str
    shown: str
    """Its first and last characters."""
    scopes: list[str]
    status: Literal["active", "expired", "revoked"]
    limits: dict[str, Any]
    metadata: dict[str, Any]
    created_at: int
    created_by: str | None
    """The key that made it; `cli`: the command line on the server."""
    expires_at: int | None
    revoked_at: int | None
    last_used_at: int | None
    """To a minute."""

    @classmethod
    def of(cls, row: ApiKey, **more: Any) -> Self:
        """Describe a record."""
        expired = row.expires_at is not None and row.expires_at <= now()
        return cls(
            id=row.id,
            name=row.name,
            project=row.project_id,
            shown=row.shown,
            scopes=row.scopes,
            status="revoked" if row.revoked_at else "expired" if expired else "active",
            limits=row.limits,
            metadata=row.meta,
            created_at=row.created_at,
            created_by=row.created_by,
            expires_at=row.expires_at,
            revoked_at=row.revoked_at,
            last_used_at=row.last_used_at,
            **more,
        )


class NewKeyObject(KeyObject):
    """A key that was made now."""

    key: str
    """The key itself. It is shown this once; nobody can read it again."""


class ProjectObject(BaseModel):
    """A project."""

    id: str
    object: Literal["project"] = "project"
    name: str
    status: str
    """active, deleting or deleted."""
    limits: dict[str, Any]
    metadata: dict[str, Any]
    created_at: int
    deleted_at: int | None
    report: dict[str, Any] | None
    """Of a deleted one: what was deleted where."""

    @classmethod
    def of(cls, row: Project) -> "ProjectObject":
        """Describe a record."""
        return cls(
            id=row.id,
            name=row.name,
            status=row.status,
            limits=row.limits,
            metadata=row.meta,
            created_at=row.created_at,
            deleted_at=row.deleted_at,
            report=row.report,
        )


class AuditEventObject(BaseModel):
    """Somebody changed something. With these fields the chain can be recomputed."""

    id: str
    object: Literal["audit.event"] = "audit.event"
    number: int
    project_id: str
    actor: str
    """Id of a key; `cli`: the command line on the server; `system`: Everloop itself."""
    action: str
    object_id: str
    request_id: str | None
    detail: dict[str, Any]
    previous: str | None
    digest: str
    created_at: int

    @classmethod
    def of(cls, row: AuditEvent) -> "AuditEventObject":
        """Describe a record."""
        return cls(
            id=f"audit_{row.number}",
            number=row.number,
            project_id=row.project_id,
            actor=row.actor,
            action=row.action,
            object_id=row.object_id,
            request_id=row.request_id,
            detail=row.detail,
            previous=row.previous,
            digest=row.digest,
            created_at=row.created_at,
        )


class AuditCheckObject(BaseModel):
    """Whether a project's log is as it was written."""

    object: Literal["audit.check"] = "audit.check"
    project: str
    valid: bool
    events: int
    head: str | None
    """Digest of the last event that is as it was written: keep it elsewhere."""
    broken: str | None
    """The first event that is not."""
    reason: str | None

    @classmethod
    def of(cls, project: str, found: ChainCheck) -> "AuditCheckObject":
        """Describe what was found."""
        return cls(
            project=project,
            valid=found.reason is None,
            events=found.events,
            head=found.head,
            broken=None if found.broken is None else f"audit_{found.broken}",
            reason=found.reason,
        )
