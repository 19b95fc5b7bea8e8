"""`/v1/keys`: API keys, made, changed, replaced and revoked.

An `admin` key manages the keys of its project, one of the default project those of all. A key that
was revoked or replaced counts no more on any gateway replica once the route has answered, as long
as the database does.
"""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends, Query
from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.audit import record
from cluster.key_records import create_key, is_last_admin, revoke_key, rotate_key
from cluster.records import ApiKey, now
from cluster.tenancy import acting_in
from deployments.errors import Conflict, NotFound
from deployments.gateway.access.bodies import KeyCreate, KeyRotate, KeyUpdate
from deployments.gateway.access.identity import Identity, identity_of
from deployments.gateway.access.objects import KeyObject, NewKeyObject
from deployments.gateway.access.projects import find_project, managed_project
from deployments.gateway.pages import Page, PageQuery, PageQueryDependency, take_page
from deployments.gateway.parameters import known_parameters
from deployments.gateway.purging import tell_backups
from deployments.gateway.services import Services, services
from deployments.limits.bounds import read_limits

__all__ = ["router"]

router = APIRouter(prefix="/v1/keys", tags=["Keys"], dependencies=[Depends(known_parameters)])
Parts = Annotated[Services, Depends(services)]
Who = Annotated[Identity, Depends(identity_of)]
PageOf = Annotated[PageQuery, Depends(PageQueryDependency)]


@router.post("", summary="Create a key")
async def create(body: KeyCreate, parts: Parts, who: Who) -> NewKeyObject:
    """Make a key. The answer holds the key itself, which nobody can read again."""
    limits = read_limits(body.limits or {})

    def make(session: Session) -> NewKeyObject:
        row, key = create_key(
            session,
            project_id=managed_project(session, who, body.project),
            name=body.name,
            scopes=body.scopes,
            expires_at=None if body.expires_in is None else now() + body.expires_in,
            limits=limits,
            meta=body.metadata,
        )
        return NewKeyObject.of(row, key=key)

    return await parts.database.run(make)


@router.get("", summary="List keys")
async def list_keys(
    parts: Parts,
    page: PageOf,
    who: Who,
    project: Annotated[
        str | None, Query(max_length=64, description="Whose; by default of the own project.")
    ] = None,
) -> Page[KeyObject]:
    """List keys, newest first, those that count no more too."""

    def read(session: Session) -> Page[KeyObject]:
        owner = find_project(session, who, project or who.project_id).id
        with acting_in(owner):
            query = select(ApiKey).where(ApiKey.project_id == owner)
            rows, has_more = take_page(session, query, ApiKey.id, page)
        return Page[KeyObject].of([KeyObject.of(row) for row in rows], has_more=has_more)

    return await parts.database.run(read, read_only=True)


@router.get("/{key_id}", summary="Retrieve a key")
async def retrieve(key_id: str, parts: Parts, who: Who) -> KeyObject:
    """Describe a key."""
    return await parts.database.run(
        lambda session: KeyObject.of(_find(session, who, key_id)), read_only=True
    )


@router.post("/{key_id}", summary="Update a key")
async def update(key_id: str, body: KeyUpdate, parts: Parts, who: Who) -> KeyObject:
    """Change a key's name, limits, expiry or metadata. What it may do never changes."""
    limits = None if body.limits is None else read_limits(body.limits)

    def change(session: Session) -> tuple[KeyObject, str]:
        row = _counting(session, who, key_id)
        before = {"name": row.name, "expires_at": row.expires_at, "limits": row.limits}
        if body.name is not None:
            row.name = body.name
        if limits is not None:
            row.limits = limits
        if body.metadata is not None:
            row.meta = dict(body.metadata)
        if "expires_in" in body.model_fields_set:
            row.expires_at = None if body.expires_in is None else now() + body.expires_in
        after = {"name": row.name, "expires_at": row.expires_at, "limits": row.limits}
        changed = {field: [before[field], after[field]] for field in after}
        record(
            session,
            "key.updated",
            row.id,
            project_id=row.project_id,
            **{field: pair for field, pair in changed.items() if pair[0] != pair[1]},
        )
        return KeyObject.of(row), row.digest

    made, digest = await parts.database.run(change)
    await _settled(parts, digest)
    return made


@router.post("/{key_id}/rotate", summary="Replace a key")
async def rotate(key_id: str, body: KeyRotate, parts: Parts, who: Who) -> NewKeyObject:
    """Make a new key that may do the same, and let the old one end, at once or after a while."""

    def replace(session: Session) -> tuple[NewKeyObject, str]:
        row = _counting(session, who, key_id)
        made, key = rotate_key(session, row, body.grace_s)
        return NewKeyObject.of(made, key=key), row.digest

    made, digest = await parts.database.run(replace)
    await _settled(parts, digest)
    await tell_backups(parts.note_deletion, "key", key_id)
    return made


@router.delete("/{key_id}", summary="Revoke a key")
async def revoke(
    key_id: str,
    parts: Parts,
    who: Who,
    force: Annotated[
        bool, Query(description="Revoke the last key that manages everything, too.")
    ] = False,
) -> KeyObject:
    """Let a key count no more. It stays in the list, and no restore brings it back.

    The last `admin` key of the default project needs `force`: without one, only the command line on
    the server lets anybody in again.
    """

    def end(session: Session) -> tuple[KeyObject, str]:
        row = _find(session, who, key_id)
        if not force and is_last_admin(session, row):
            raise Conflict(
                f"{row.id} is the last key that manages everything. Send `force=true` to revoke it "
                "all the same; `everloop keys create --local` on the server then makes another.",
                param="force",
                code="last_admin_key",
            )
        revoke_key(session, row)
        return KeyObject.of(row), row.digest

    made, digest = await parts.database.run(end)
    await _settled(parts, digest)
    if parts.note_deletion is not None:  # where this fails, revoking it again does the rest
        await asyncio.to_thread(parts.note_deletion, "key", [key_id])
    return made


def _find(session: Session, who: Identity, key_id: str, *, lock: bool = False) -> ApiKey:
    """A key of a project that they manage. Raises NotFound."""
    query = select(ApiKey).where(ApiKey.id == key_id)
    with acting_in(None if who.is_operator else who.project_id):
        row = session.scalar(query.with_for_update() if lock else query)
    if row is None:
        raise NotFound(f"No such key: {key_id[:64]}.", param="key_id", code="not_found")
    return row


def _counting(session: Session, who: Identity, key_id: str) -> ApiKey:
    """One that was not revoked, held until the transaction ends. Raises NotFound and Conflict."""
    row = _find(session, who, key_id, lock=True)
    if row.revoked_at is not None:
        raise Conflict(f"The key {row.id} is revoked.", param="key_id", code="key_revoked")
    return row


async def _settled(parts: Services, digest: str) -> None:
    """Return once no gateway replica knows the key as it was."""
    if parts.keys is not None:
        parts.keys.forget(digest)
        await asyncio.sleep(parts.settings.access.revoked_within_s)
