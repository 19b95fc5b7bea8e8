"""What a gateway replica knows of running experiments."""

import asyncio
import threading
from collections.abc import Callable
from typing import Any, cast

import pytest
from sqlalchemy.orm import Session

from cluster.database import Database
from cluster.errors import DatabaseError
from cluster.records import Experiment
from deployments.experiments import changes
from deployments.experiments.desk import DESK_TTL_S, ExperimentDesk
from tests.deployments.experiments.traffic import start_experiment

SETTINGS = {"metric": {"name": "score:quality"}}


class Counted:
    """A database that counts what it is asked, and can be away."""

    def __init__(self, database: Database) -> None:
        self.asked = 0
        self.away = False
        self.stuck: threading.Event | None = None
        self._database = database

    async def run(self, fn: Callable[[Session], Any], *, read_only: bool = False) -> Any:
        self.asked += 1
        if self.away:
            raise DatabaseError("away")
        if self.stuck is not None:
            await asyncio.to_thread(self.stuck.wait, 5)
        return await self._database.run(fn, read_only=read_only)


@pytest.fixture
def counted(database: Database) -> Counted:
    return Counted(database)


async def test_it_reads_once_in_a_while_for_everybody(database: Database, counted: Counted) -> None:
    row = start_experiment(database, SETTINGS)
    at = 100.0
    desk = ExperimentDesk(cast(Database, counted), lambda: at)
    found = await asyncio.gather(*(desk.running("assistant") for _ in range(20)))
    assert {split.id for split in found if split is not None} == {row.id}
    assert await desk.running("other") is None
    assert counted.asked == 1
    with database.session() as session:
        at_now = session.get_one(Experiment, row.id)
        changes.conclude(session, at_now, "stopped", {"outcome": "stopped", "reason": "-"})
    assert await desk.running("assistant") is not None
    at += DESK_TTL_S
    assert await desk.running("assistant") is None
    assert counted.asked == 2


async def test_what_was_known_counts_while_the_records_are_away(
    database: Database, counted: Counted
) -> None:
    row = start_experiment(database, SETTINGS)
    desk = ExperimentDesk(cast(Database, counted))
    assert await desk.running("assistant") is not None
    counted.away = True
    desk.forget()
    split = await desk.running("assistant")
    assert split is not None and split.id == row.id


async def test_nobody_waits_long_for_records_that_do_not_answer(
    database: Database, counted: Counted
) -> None:
    start_experiment(database, SETTINGS)
    counted.stuck = threading.Event()
    desk = ExperimentDesk(cast(Database, counted))
    async with asyncio.timeout(2):
        assert await desk.running("assistant") is None
    counted.stuck.set()
    async with asyncio.timeout(5):
        while await desk.running("assistant") is None:  # noqa: ASYNC110 - reads by itself
            await asyncio.sleep(0.01)
