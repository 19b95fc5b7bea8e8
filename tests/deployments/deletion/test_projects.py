"""A deleted project leaves every place, step by step, whatever dies between two steps."""

import random
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session

from cluster.database import Database
from cluster.records import FineTuningJob, Project, Trace, VectorStoreFile
from cluster.storage import ByteStore
from cluster.tenancy import acting_in
from deployments.deletion import projects
from deployments.deletion.projects import ProjectDuty
from deployments.deletion.rows import KEPT, delete_rows, owned_tables
from deployments.errors import Unavailable
from deployments.monitor.duty import MonitorParts
from tests.fakes.parts import FakeIngestor, FakeModel
from tests.fixtures.tenant import Tenant, add_everything, add_project

WORD = "8d1f03a6c2e74b95"
OTHER = "5b90e4d7a1c8f362"
MakeParts = Callable[[float], MonitorParts]


@pytest.fixture
def gone(database: Database, storage: ByteStore) -> Tenant:
    """A project with everything that is to go."""
    tenant = add_project(database, "gone", WORD)
    add_everything(database, storage, tenant)
    with database.session() as session:
        session.get_one(Project, tenant.project_id).status = "deleting"
    return tenant


@pytest.fixture
def stays(database: Database, storage: ByteStore) -> Tenant:
    """Another one with everything, that stays."""
    tenant = add_project(database, "stays", OTHER)
    add_everything(database, storage, tenant)
    return tenant


def counts(database: Database, project_id: str) -> dict[str, int]:
    with database.session(read_only=True) as session:
        return {
            table.name: session.scalar(
                select(func.count()).select_from(table).where(table.c.project_id == project_id)
            )
            or 0
            for table in owned_tables()
        }


def project(database: Database, tenant: Tenant) -> Project:
    with database.session(read_only=True) as session:
        return session.get_one(Project, tenant.project_id)


def objects(storage: ByteStore, tenant: Tenant) -> list[Path]:
    root = Path(storage.url.removeprefix("file://")) / tenant.project_id
    return [path for path in root.rglob("*") if path.is_file()]


async def test_it_leaves_every_place_and_a_report_says_so(
    database: Database,
    storage: ByteStore,
    model: FakeModel,
    ingestor: FakeIngestor,
    make_parts: MakeParts,
    gone: Tenant,
    stays: Tenant,
) -> None:
    before, held = counts(database, stays.project_id), objects(storage, stays)
    had = counts(database, gone.project_id)
    assert all(had.values()), "the tenant has a row of every table"
    half = Path(storage.url.removeprefix("file://")) / gone.project_id / ".put-left"
    half.write_bytes(b"half written when a process died")
    written = len(objects(storage, gone))
    with acting_in(gone.project_id), database.session(read_only=True) as session:
        number = session.scalars(select(VectorStoreFile.number)).one()
    ingestor.passages[number] = ["one", "two"]
    told: list[Any] = []
    duty = ProjectDuty(make_parts(0.1), lambda kind, ids: told.append((kind, list(ids))))
    while project(database, gone).status != "deleted":
        await duty.turn()
    left = counts(database, gone.project_id)
    assert {name for name, count in left.items() if count} == KEPT & left.keys()
    assert objects(storage, gone) == []
    assert model.forgotten == [gone.adapter]
    report = project(database, gone).report or {}
    assert report["rows"] == {name: count for name, count in had.items() if name not in KEPT}
    assert (report["passages"], report["objects"]) == (2, written)
    assert report["kept"].keys() >= {"audit_events"}
    assert told == [("project", [gone.project_id])]
    assert counts(database, stays.project_id) == before
    assert objects(storage, stays) == held


async def test_a_crash_between_two_steps_loses_nothing_of_the_work(
    database: Database,
    storage: ByteStore,
    make_parts: MakeParts,
    monkeypatch: pytest.MonkeyPatch,
    gone: Tenant,
) -> None:
    had = counts(database, gone.project_id)
    chance, deaths = random.Random(6), 0

    def dying(session: Session, *given: Any) -> int:
        nonlocal deaths
        found = delete_rows(session, *given)
        if chance.random() < 0.05:
            deaths += 1
            raise Unavailable("killed before the commit")
        return found

    monkeypatch.setattr(projects, "delete_rows", dying)
    for _ in range(200):
        with suppress(Unavailable):
            await ProjectDuty(make_parts(0.1)).turn()
        if project(database, gone).status == "deleted":
            break
    assert deaths >= 3
    left = counts(database, gone.project_id)
    assert {name for name, count in left.items() if count} == KEPT & left.keys()
    told = (project(database, gone).report or {})["rows"]
    assert told == {name: count for name, count in had.items() if name not in KEPT}


async def test_it_waits_for_a_job_that_still_writes(
    database: Database, storage: ByteStore, make_parts: MakeParts, gone: Tenant
) -> None:
    def become(status: str) -> None:
        with acting_in(gone.project_id), database.session() as session:
            session.execute(update(FineTuningJob).values(status=status))

    become("running")
    duty = ProjectDuty(make_parts(0.1))
    await duty.turn()
    assert (project(database, gone).report or {})["waits_for"] == [f"ftjob-{WORD}"]
    assert objects(storage, gone)
    with acting_in(gone.project_id), database.session(read_only=True) as session:
        assert session.scalars(select(FineTuningJob.wish)).all() == ["cancel"]
    become("cancelled")
    await duty.turn()
    assert objects(storage, gone) == []


async def test_what_a_late_request_wrote_goes_too(
    database: Database, make_parts: MakeParts, gone: Tenant
) -> None:
    parts = make_parts(600.0)
    await ProjectDuty(parts).turn()
    await ProjectDuty(parts).turn()
    assert project(database, gone).status == "deleting", "a request may still be under way"
    while project(database, gone).status != "deleted":
        await ProjectDuty(make_parts(0.1)).turn()
    with acting_in(gone.project_id), database.session() as session:
        session.add(Trace(id="trace_late", request_id="r", route="/", status=200))
    await ProjectDuty(parts).turn()
    with database.session(read_only=True) as session:
        assert session.get(Trace, "trace_late") is None
    assert project(database, gone).status == "deleted"
