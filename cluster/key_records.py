"""API keys in the records: made, revoked, replaced. Who may do so is asked elsewhere."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any

from sqlalchemy import or_, select

from cluster.actor import current_actor
from cluster.audit import record
from cluster.ids import DEFAULT_PROJECT, new_id
from cluster.keys import Scope, key_digest, mint_key, shown_key
from cluster.records import ApiKey, now
from cluster.tenancy import acting_in

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["create_key", "is_last_admin", "operator_keys", "revoke_key", "rotate_key"]


def create_key(
    session: "Session",
    *,
    project_id: str,
    name: str,
    scopes: Sequence[Scope],
    expires_at: int | None = None,
    limits: Mapping[str, Any] | None = None,
    meta: Mapping[str, str] | None = None,
) -> tuple[ApiKey, str]:
    """Make a key; its record, and the key itself, which is known only now."""
    key = mint_key()
    row = ApiKey(
        id=new_id("key"),
        project_id=project_id,
        name=name,
        digest=key_digest(key),
        shown=shown_key(key),
        scopes=sorted(set(scopes)),
        limits=dict(limits or {}),
        meta=dict(meta or {}),
        expires_at=expires_at,
        created_by=current_actor().name,
        created_at=now(),
    )
    session.add(row)
    session.flush()
    record(
        session,
        "key.created",
        row.id,
        project_id=project_id,
        name=name,
        shown=row.shown,
        scopes=row.scopes,
        expires_at=expires_at,
    )
    return row, key


def revoke_key(session: "Session", row: ApiKey) -> None:
    """Let a key count no more. One that is revoked stays as it is."""
    if row.revoked_at is None:
        row.revoked_at = now()
        record(session, "key.revoked", row.id, project_id=row.project_id, name=row.name)


def rotate_key(session: "Session", row: ApiKey, grace_s: int) -> tuple[ApiKey, str]:
    """Replace a key by a new one that may do the same; the old one counts `grace_s` seconds more.

    A key that expires keeps the time that it has.
    """
    made, key = create_key(
        session,
        project_id=row.project_id,
        name=row.name,
        scopes=row.scopes,
        expires_at=row.expires_at,
        limits=row.limits,
        meta=row.meta,
    )
    at = now()
    if grace_s:
        row.expires_at = min(at + grace_s, row.expires_at or at + grace_s)
    else:
        row.revoked_at = at
    record(
        session,
        "key.rotated",
        row.id,
        project_id=row.project_id,
        replaced_by=made.id,
        grace_s=grace_s,
    )
    return made, key


def operator_keys(session: "Session") -> list[ApiKey]:
    """Keys that count and manage everything: those with `admin` of the operator's project.

    Their records are held until the transaction ends, so that two do not revoke each other.
    """
    with acting_in(None):
        rows = session.scalars(
            select(ApiKey)
            .where(
                ApiKey.project_id == DEFAULT_PROJECT,
                ApiKey.revoked_at.is_(None),
                or_(ApiKey.expires_at.is_(None), ApiKey.expires_at > now()),
            )
            .order_by(ApiKey.id)
            .with_for_update()
        )
        return [row for row in rows if "admin" in row.scopes]


def is_last_admin(session: "Session", row: ApiKey) -> bool:
    """Whether nobody could manage anything over the API once this key is gone."""
    return [one.id for one in operator_keys(session)] == [row.id]
