"""A project's rows: its work is stopped, then every table is emptied of it, children first."""

from typing import Final

from sqlalchemy import Table, delete, func, select, tuple_, update
from sqlalchemy.orm import Session

from cluster.records import (
    Base,
    DriftMonitor,
    EvalRun,
    Experiment,
    FineTuningJob,
    GateRun,
    Owned,
    VectorStore,
    VectorStoreFile,
    now,
)

__all__ = ["KEPT", "delete_rows", "owned_tables", "stop_work"]

KEPT: Final = frozenset({"audit_events", "audit_heads"})
"""Tables that say who did what, by ids alone, and have a retention of their own."""
_UNFINISHED: Final = ("queued", "parsing", "chunking", "embedding", "indexing")


def owned_tables() -> list[Table]:
    """Every table whose rows belong to a project, those that refer to others first."""
    mappers = Base.registry.mappers
    owned = {mapper.local_table for mapper in mappers if issubclass(mapper.class_, Owned)}
    return [table for table in reversed(Base.metadata.sorted_tables) if table in owned]


def stop_work(session: Session) -> list[str]:
    """End what the acting project has under way; ids of jobs whose processes have yet to stop."""
    at = now()
    session.execute(
        update(VectorStore).where(VectorStore.deleted_at.is_(None)).values(deleted_at=at)
    )
    unfinished = VectorStoreFile.stage.in_(_UNFINISHED)
    session.execute(update(VectorStoreFile).where(unfinished).values(stage="cancelled"))
    session.execute(
        update(VectorStoreFile).values(
            live=False, deleted_at=func.coalesce(VectorStoreFile.deleted_at, at)
        )
    )
    waiting = FineTuningJob.status.in_(("queued", "paused"))
    session.execute(update(FineTuningJob).where(waiting).values(status="cancelled", finished_at=at))
    running = FineTuningJob.status == "running"
    session.execute(update(FineTuningJob).where(running).values(wish="cancel"))
    session.execute(
        update(GateRun)
        .where(GateRun.status.in_(("queued", "running")))
        .values(status="cancelled", finished_at=at)
    )
    session.execute(
        update(EvalRun)
        .where(EvalRun.status.in_(("queued", "in_progress")))
        .values(status="canceled", finished_at=at)
    )
    session.execute(
        update(Experiment)
        .where(Experiment.status == "running")
        .values(status="stopped", ended_at=at)
    )
    session.execute(
        update(DriftMonitor).where(DriftMonitor.status == "active").values(status="paused")
    )
    return list(session.scalars(select(FineTuningJob.id).where(running)))


def delete_rows(session: Session, table: Table, project_id: str, most: int) -> int:
    """Delete up to `most` rows of a project; how many. The project is named, whoever acts."""
    own = table.c.project_id == project_id
    keys = list(table.primary_key)
    found = [tuple(row) for row in session.execute(select(*keys).where(own).limit(most))]
    if found:
        session.execute(delete(table).where(own, tuple_(*keys).in_(found)))
    return len(found)
