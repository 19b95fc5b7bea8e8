"""Which projects somebody may manage: an operator all, everybody else their own."""

from sqlalchemy.orm import Session

from cluster.records import Project
from deployments.errors import Conflict, Forbidden, NotFound
from deployments.gateway.access.identity import Identity

__all__ = ["find_project", "managed_project", "require_operator"]


def find_project(session: Session, identity: Identity, project_id: str) -> Project:
    """A project. Raises NotFound where there is none, or it is not theirs."""
    ours = identity.is_operator or project_id == identity.project_id
    row = session.get(Project, project_id) if ours else None
    if row is None:
        raise NotFound(f"No such project: {project_id[:64]}.", param="project", code="not_found")
    return row


def managed_project(session: Session, identity: Identity, project_id: str | None) -> str:
    """The id of the project that is meant, by default their own. It is not on its way out.

    Raises NotFound, and Conflict for one that is being deleted.
    """
    row = find_project(session, identity, project_id or identity.project_id)
    if row.status != "active":
        raise Conflict(
            f"The project {row.id} is {row.status}.", param="project", code="project_deleted"
        )
    return row.id


def require_operator(identity: Identity, what: str) -> None:
    """Raise Forbidden unless somebody may manage all projects."""
    if not identity.is_operator:
        raise Forbidden(
            f"{what} needs an `admin` key of the default project.", code="operator_only"
        )
