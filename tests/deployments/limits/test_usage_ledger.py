"""Usage in the records: written in batches, read back, told of by alerts."""

import asyncio

import pytest
from sqlalchemy import select

from cluster.database import Database
from cluster.errors import DatabaseError
from cluster.records import Alert, ApiKey, Project, Usage
from cluster.sections.limits import Bounds, LimitsSettings
from cluster.tenancy import acting_in
from deployments.alerts.raising import resolve_alert
from deployments.limits.usage_ledger import UsageLedger
from deployments.limits.used import Used
from tests.deployments.limits.conftest import Clock

SETTINGS = LimitsSettings(flush_interval_s=0.01, refresh_s=5)


def ledger(database: Database, clock: Clock, settings: LimitsSettings = SETTINGS) -> UsageLedger:
    return UsageLedger(database, settings, clock)


def alerts(database: Database) -> list[tuple[str, str, str]]:
    with database.session(read_only=True) as session:
        rows = session.scalars(select(Alert).order_by(Alert.source_id))
        return sorted((row.project_id, row.title, row.body["summary"]) for row in rows)


async def test_what_is_used_is_written_soon_and_counted_up_by_replicas(
    database: Database, clock: Clock
) -> None:
    one, two = ledger(database, clock), ledger(database, clock)
    one.add("proj_1", "key_1", Used(1, 10, 5, 0.5))
    one.add("proj_1", "key_2", Used(1, 1, 1, 0.0))
    two.add("proj_1", "key_1", Used(2, 20, 10, 1.0))
    assert one.used("proj_1") == Used(2, 11, 6, 0.5)
    async with asyncio.timeout(20):
        for replica in (one, two):
            assert replica._flushing is not None
            await replica._flushing
    rows = {}
    with database.session(read_only=True) as session:
        for row in session.scalars(select(Usage)):
            rows[row.key_id] = (row.project_id, row.month, row.requests, row.prompt_tokens)
    assert rows == {
        "key_1": ("proj_1", "2026-11", 3, 30),
        "key_2": ("proj_1", "2026-11", 1, 1),
    }


async def test_models_are_counted_apart_and_make_up_a_keys_use_together(
    database: Database, clock: Clock
) -> None:
    counting = ledger(database, clock)
    counting.add("proj_1", "key_1", Used(1), model="small")
    counting.add("proj_1", "key_1", Used(0, 10, 5, 0.5), model="small")
    counting.add("proj_1", "key_1", Used(0, 7, 1, 0.25), model="judge")
    counting.add("proj_1", "key_1", Used(1))
    await counting.close()
    with database.session(read_only=True) as session:
        rows = {
            row.model: (row.requests, row.prompt_tokens) for row in session.scalars(select(Usage))
        }
    assert rows == {"small": (1, 10), "judge": (0, 7), "": (1, 0)}
    after = ledger(database, clock)
    await after.know("proj_1")
    assert after.used("proj_1", "key_1") == Used(2, 17, 6, 0.75)


async def test_a_restart_knows_the_month_and_other_replicas_are_seen_in_time(
    database: Database, clock: Clock
) -> None:
    before = ledger(database, clock)
    before.add("proj_1", "key_1", Used(1, 10, 5, 0.5))
    await before.close()
    after = ledger(database, clock)
    await after.know("proj_1")
    assert after.used("proj_1", "key_1") == Used(1, 10, 5, 0.5)
    assert after.used("proj_1", "key_2") == Used()
    before.add("proj_1", "key_1", Used(1, 10, 5, 0.5))
    await before.close()
    await after.know("proj_1")
    assert after.used("proj_1").requests == 1
    clock.at += SETTINGS.refresh_s
    await after.know("proj_1")
    assert after.used("proj_1").requests == 2
    clock.at += 31 * 86_400
    await after.know("proj_1")
    assert after.used("proj_1") == Used()


async def test_nothing_is_lost_or_counted_twice_while_the_database_is_down(
    database: Database, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    counting = ledger(database, clock, LimitsSettings(flush_interval_s=1000))
    counting.add("proj_1", "key_1", Used(1, 10, 5, 0.5))
    run = database.run

    asked = 0

    async def down(*_args: object, **_named: object) -> None:
        nonlocal asked
        asked += 1
        counting.add("proj_1", "key_1", Used(1, 1, 1, 0.5))  # while it is being written
        raise DatabaseError("down", fix="wait")

    monkeypatch.setattr(database, "run", down)
    with pytest.raises(DatabaseError):
        await counting.flush()
    for _ in range(3):
        await counting.know("proj_1")
    assert asked == 2, "one that does not answer is not asked by every request"
    monkeypatch.setattr(database, "run", run)
    expected = Used(3, 12, 7, 1.5)
    assert counting.used("proj_1") == expected
    await counting.close()
    assert counting.used("proj_1") == expected
    await counting.flush()
    fresh = ledger(database, clock)
    await fresh.know("proj_1")
    assert fresh.used("proj_1") == expected


async def test_each_part_of_a_budget_is_told_once(database: Database, clock: Clock) -> None:
    with database.session() as session:
        session.add(Project(id="proj_1", name="one", limits={"tokens_per_month": 1000}))
        session.add(
            ApiKey(
                id="key_1",
                project_id="proj_1",
                digest="d",
                shown="s",
                scopes=[],
                limits={"cost_per_month": 2.0},
            )
        )
    counting = ledger(database, clock)
    counting.add("proj_1", "key_1", Used(1, 400, 99, 0.9))
    await counting.flush()
    assert alerts(database) == []
    counting.add("proj_1", "key_1", Used(1, 1, 0, 0.1))
    await counting.flush()
    half = [
        ("proj_1", "50 % of the budget of key key_1 is used", "1 of 2 of cost a month in 2026-11"),
        (
            "proj_1",
            "50 % of the budget of project proj_1 is used",
            "500 of 1000 tokens a month in 2026-11",
        ),
    ]
    assert alerts(database) == half
    with acting_in("proj_1"), database.session() as session:
        assert resolve_alert(session, kind="budget", source_id="proj_1/2026-11/50")
    counting.add("proj_1", "key_2", Used(1, 500, 0, 0.0))
    await counting.flush()
    told = [title for _, title, _ in alerts(database)]
    assert [title[:4].strip() for title in told if "project" in title] == ["100", "50 %", "80 %"]
    await counting.close()


async def test_defaults_of_the_settings_are_budgets_too(database: Database, clock: Clock) -> None:
    settings = LimitsSettings(project=Bounds(tokens_per_month=10))
    counting = ledger(database, clock, settings)
    counting.add("proj_default", "none", Used(1, 5, 0))
    await counting.close()
    assert len(alerts(database)) == 1
