"""`/v1/audit`: who changed what. Events are written by the changes themselves, and stay."""

from typing import Annotated

from fastapi import APIRouter, Depends, Query
from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.audit import verify
from cluster.records import AuditEvent
from cluster.tenancy import acting_in
from deployments.errors import InvalidRequest
from deployments.gateway.access.identity import Identity, identity_of
from deployments.gateway.access.objects import AuditCheckObject, AuditEventObject
from deployments.gateway.access.projects import find_project
from deployments.gateway.pages import Page, PageQuery, PageQueryDependency, take_page
from deployments.gateway.parameters import known_parameters
from deployments.gateway.services import Services, services
from deployments.storable import Moment

__all__ = ["router"]

_PREFIX = "audit_"

router = APIRouter(prefix="/v1/audit", tags=["Audit"], dependencies=[Depends(known_parameters)])
Parts = Annotated[Services, Depends(services)]
Who = Annotated[Identity, Depends(identity_of)]
Owner = Annotated[
    str | None, Query(max_length=64, description="Whose; by default of the own project.")
]


@router.get("", summary="List audit events")
async def list_events(
    parts: Parts,
    page: Annotated[PageQuery, Depends(PageQueryDependency)],
    who: Who,
    project: Owner = None,
    action: Annotated[
        str | None, Query(max_length=64, description="`alias.promoted`, or `alias.` for all of it.")
    ] = None,
    object_id: Annotated[str | None, Query(max_length=256, description="What was changed.")] = None,
    actor: Annotated[str | None, Query(max_length=64, description="Who changed it.")] = None,
    since: Annotated[Moment | None, Query(description="Seconds since the epoch.")] = None,
    until: Annotated[Moment | None, Query(description="Seconds since the epoch.")] = None,
) -> Page[AuditEventObject]:
    """List who changed what, newest first."""
    place = {
        side: _number(side, found)
        for side, found in (("after", page.after), ("before", page.before))
        if found is not None
    }

    def read(session: Session) -> Page[AuditEventObject]:
        owner = find_project(session, who, project or who.project_id).id
        query = select(AuditEvent).where(AuditEvent.project_id == owner)
        if action is not None:
            whole = not action.endswith(".")
            query = query.where(
                AuditEvent.action == action
                if whole
                else AuditEvent.action.startswith(action, autoescape=True)
            )
        for column, value in (
            (AuditEvent.object_id, object_id),
            (AuditEvent.actor, actor),
        ):
            if value is not None:
                query = query.where(column == value)
        if since is not None:
            query = query.where(AuditEvent.created_at >= since)
        if until is not None:
            query = query.where(AuditEvent.created_at < until)
        with acting_in(owner):
            rows, has_more = take_page(session, query, AuditEvent.number, page, **place)
        found = [AuditEventObject.of(row) for row in rows]
        return Page[AuditEventObject].of(found, has_more=has_more)

    return await parts.database.run(read, read_only=True)


@router.get("/verify", summary="Verify the audit log")
async def verify_events(parts: Parts, who: Who, project: Owner = None) -> AuditCheckObject:
    """Recompute the chain of a project's events, and name the first one that is broken."""

    def check(session: Session) -> AuditCheckObject:
        return AuditCheckObject.of(owner, verify(session, owner))

    owner = await parts.database.run(
        lambda session: find_project(session, who, project or who.project_id).id, read_only=True
    )
    return await parts.database.run(check, read_only=True)


def _number(side: str, event_id: str) -> int:
    digits = event_id.removeprefix(_PREFIX)
    if not (digits.isascii() and digits.isdigit() and len(digits) < 19):
        raise InvalidRequest(f"No such event: {event_id[:64]}.", param=side, code="not_found")
    return int(digits)
