"""Projects that were deleted leave every place: records, passages, bytes, replicas, backups."""

import asyncio
import time
from collections.abc import Mapping
from contextlib import suppress
from functools import partial
from typing import Any, Final

from sqlalchemy import Table, or_, select
from sqlalchemy.orm import Session

from cluster.records import Adapter, Project, now
from cluster.tenancy import acting_in
from deployments.deletion.notes import DeletionNotes
from deployments.deletion.rows import KEPT, delete_rows, owned_tables, stop_work
from deployments.errors import RequestError
from deployments.monitor.duty import MonitorParts

__all__ = ["ProjectDuty"]

_BATCH: Final = 500
"""Rows, or objects, that one step deletes."""
_STEPS: Final = 400
"""Of one turn; the next one goes on."""
_LATE_S: Final = 86_400
_LATE_EVERY_S: Final = 300.0
_WHY_KEPT: Final = "who did what, by ids; it has a retention of its own"
_MARKED: Final = "marked: a restore leaves it out; older copies keep it until they expire"
_UNMARKED: Final = "not marked: none are known here"


class ProjectDuty:
    """See `deployments.monitor.duty.Duty`.

    `deleting`: its work is stopped; then passages, bytes and rows go, in bounded steps, each of
    which may be the last before a crash. It is `deleted` once nothing is left and no request that
    began before can still write. For a day after that, whatever a late one wrote goes as well.
    `Project.report` says what was deleted where.
    """

    name: Final = "project_deletion"
    period_s: Final = 5.0

    def __init__(self, parts: MonitorParts, note: DeletionNotes | None = None) -> None:
        self._parts: Final = parts
        self._note: Final = note
        self._late_at = -_LATE_EVERY_S
        settings = parts.settings
        self._grace_s: Final = settings.http.request_timeout_s + settings.access.revoked_within_s

    async def turn(self) -> None:
        """Take each deleted project a step further."""
        late = time.monotonic() - self._late_at >= _LATE_EVERY_S
        if late:
            self._late_at = time.monotonic()
        for project in await self._parts.database.run(partial(_due, late=late), read_only=True):
            with acting_in(project.id):
                await self._advance(project)

    async def _advance(self, project: Project) -> None:
        database, project_id = self._parts.database, project.id
        running = await database.run(stop_work)
        began = int((project.report or {}).get("began_at") or now())
        told = {"began_at": began, "waits_for": running}
        await database.run(partial(_tell, project_id=project_id, told=told))
        if running:
            return  # their processes write checkpoints until they have stopped
        await self._forget_adapters()
        gone = await self._parts.ingestor.purge_project(project_id)
        await database.run(partial(_count, project_id=project_id, gone={"passages": gone}))
        gone += await self._delete_objects(project_id)
        gone += await self._delete_rows(project_id)
        if not gone and project.status == "deleting" and now() >= began + self._grace_s:
            if self._note is not None:
                await asyncio.to_thread(self._note, "project", [project_id])
            await database.run(partial(_end, project_id=project_id, noted=self._note is not None))

    async def _delete_objects(self, project_id: str) -> int:
        total = 0
        for _ in range(_STEPS):
            gone = await asyncio.to_thread(self._parts.storage.delete_below, project_id, _BATCH)
            if not gone:
                break
            total += gone
            count = partial(_count, project_id=project_id, gone={"objects": gone})
            await self._parts.database.run(count)
        return total

    async def _delete_rows(self, project_id: str) -> int:
        total, steps = 0, _STEPS
        for table in owned_tables():
            gone = 0 if table.name in KEPT else _BATCH
            while steps and gone == _BATCH:
                steps -= 1
                gone = await self._parts.database.run(
                    partial(_delete_some, table=table, project_id=project_id)
                )
                total += gone
        return total

    async def _forget_adapters(self) -> None:
        ids = await self._parts.database.run(
            lambda session: list(session.scalars(select(Adapter.id))), read_only=True
        )
        for adapter_id in ids:
            for model in self._parts.models.values():
                with suppress(RequestError):  # a replica that does not answer restarts without it
                    await model.forget(adapter_id)


def _due(session: Session, *, late: bool) -> list[Project]:
    wanted = Project.status == "deleting"
    if late:
        lately = (Project.status == "deleted") & (Project.deleted_at > now() - _LATE_S)
        wanted = or_(wanted, lately)
    return list(session.scalars(select(Project).where(wanted)))


def _delete_some(session: Session, *, table: Table, project_id: str) -> int:
    """Delete rows and count them, in one transaction."""
    gone = delete_rows(session, table, project_id, _BATCH)
    if gone:
        row = _locked(session, project_id)
        report = row.report or {}
        rows = report.get("rows") or {}
        row.report = {**report, "rows": {**rows, table.name: rows.get(table.name, 0) + gone}}
    return gone


def _count(session: Session, *, project_id: str, gone: Mapping[str, int]) -> None:
    """Add to the report's totals."""
    row = _locked(session, project_id)
    report = row.report or {}
    row.report = {**report, **{name: report.get(name, 0) + gone[name] for name in gone}}


def _tell(session: Session, *, project_id: str, told: Mapping[str, Any]) -> None:
    row = _locked(session, project_id)
    row.report = {**(row.report or {}), **told}


def _end(session: Session, *, project_id: str, noted: bool) -> None:
    kept = dict.fromkeys(sorted(KEPT), _WHY_KEPT)
    told = {"finished_at": now(), "kept": kept, "backups": _MARKED if noted else _UNMARKED}
    _tell(session, project_id=project_id, told=told)
    row = _locked(session, project_id)
    row.status, row.deleted_at = "deleted", now()


def _locked(session: Session, project_id: str) -> Project:
    return session.get_one(Project, project_id, with_for_update=True)
