"""`/v1/projects`: the tenants. Everything else belongs to one.

`admin` keys of the default project, the operator's, manage all; others see their own.
"""

import asyncio
from typing import Annotated

from fastapi import APIRouter, Depends
from sqlalchemy import select
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cluster.audit import record
from cluster.ids import DEFAULT_PROJECT, new_id
from cluster.records import Project, now
from deployments.errors import Conflict
from deployments.gateway.access.bodies import ProjectCreate, ProjectUpdate
from deployments.gateway.access.identity import Identity, identity_of
from deployments.gateway.access.objects import ProjectObject
from deployments.gateway.access.projects import find_project, managed_project, require_operator
from deployments.gateway.pages import Page, PageQuery, PageQueryDependency, take_page
from deployments.gateway.parameters import known_parameters
from deployments.gateway.services import Services, services
from deployments.limits.bounds import read_limits

__all__ = ["router"]

router = APIRouter(
    prefix="/v1/projects", tags=["Projects"], dependencies=[Depends(known_parameters)]
)
Parts = Annotated[Services, Depends(services)]
Who = Annotated[Identity, Depends(identity_of)]


@router.post("", summary="Create a project")
async def create(body: ProjectCreate, parts: Parts, who: Who) -> ProjectObject:
    """Make a project without keys; `POST /v1/keys` with `project` makes its first.

    The name of a deleted project may be used again; the two have nothing in common but it.
    """
    require_operator(who, "Making a project")
    limits = read_limits(body.limits or {})

    def make(session: Session) -> ProjectObject:
        row = Project(
            id=new_id("proj"),
            name=body.name,
            status="active",
            limits=limits,
            meta=dict(body.metadata or {}),
            created_at=now(),
        )
        session.add(row)
        _flush(session, row)
        record(session, "project.created", row.id, name=row.name, limits=limits)
        return ProjectObject.of(row)

    return await parts.database.run(make)


@router.get("", summary="List projects")
async def list_projects(
    parts: Parts, page: Annotated[PageQuery, Depends(PageQueryDependency)], who: Who
) -> Page[ProjectObject]:
    """List projects, newest first, deleted ones too; for others than operators, their own."""

    def read(session: Session) -> Page[ProjectObject]:
        query = select(Project)
        if not who.is_operator:
            query = query.where(Project.id == who.project_id)
        rows, has_more = take_page(session, query, Project.id, page)
        return Page[ProjectObject].of([ProjectObject.of(row) for row in rows], has_more=has_more)

    return await parts.database.run(read, read_only=True)


@router.get("/{project_id}", summary="Retrieve a project")
async def retrieve(project_id: str, parts: Parts, who: Who) -> ProjectObject:
    """Describe a project; of a deleted one, with the report of what was deleted where."""
    return await parts.database.run(
        lambda session: ProjectObject.of(find_project(session, who, project_id)), read_only=True
    )


@router.post("/{project_id}", summary="Update a project")
async def update(project_id: str, body: ProjectUpdate, parts: Parts, who: Who) -> ProjectObject:
    """Change a project. Its name and its limits are the operator's to change."""
    limits = None if body.limits is None else read_limits(body.limits)

    def change(session: Session) -> ProjectObject:
        row = session.get_one(Project, managed_project(session, who, project_id))
        if limits is not None or body.name is not None:
            require_operator(who, "Changing a project's name or limits")
        if body.metadata is not None:
            row.meta = dict(body.metadata)
        if limits is not None:
            row.limits = limits
        if body.name is not None:
            row.name = body.name
            _flush(session, row)
        record(session, "project.updated", row.id, name=body.name, limits=limits)
        return ProjectObject.of(row)

    return await parts.database.run(change)


@router.delete("/{project_id}", summary="Delete a project")
async def delete(project_id: str, parts: Parts, who: Who) -> ProjectObject:
    """Stop a project's keys at once, and delete all that belongs to it, soon.

    What was deleted where stands in its `report` then.
    """

    def end(session: Session) -> ProjectObject:
        row = find_project(session, who, project_id)
        require_operator(who, "Deleting a project")
        if row.id == DEFAULT_PROJECT:
            raise Conflict(
                "The default project cannot be deleted.", param="project", code="default_project"
            )
        if row.status == "active":
            row.status = "deleting"
            record(session, "project.deleted", row.id, name=row.name)
        return ProjectObject.of(row)

    made = await parts.database.run(end)
    if parts.keys is not None:
        parts.keys.forget_project(project_id)
        await asyncio.sleep(parts.settings.access.revoked_within_s)  # until no replica lets it in
    return made


def _flush(session: Session, row: Project) -> None:
    name = row.name
    try:
        session.flush()
    except IntegrityError:
        raise Conflict(
            f"There is a project {name!r} already.",
            param="name",
            code="project_exists",
        ) from None
