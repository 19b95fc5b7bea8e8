"""The Trainer's turns over real records; the processes it starts are entries of a list."""

import asyncio
import time
from collections.abc import Callable
from typing import Any

import pytest

from cluster.database import Database
from cluster.errors import DatabaseError, LaunchError
from cluster.records import FineTuningJob, now
from cluster.settings import TrainingQueueSettings
from deployments.model.messages import ModelLoad
from deployments.trainer.trainer import ServingWatch, Trainer
from tests.training.queue.rows import (
    add_gate,
    add_job,
    gate_of,
    job_of,
    messages,
    work_of,
)
from training.queue.ledger import Attempt, Queue, Work

CAPACITY = 8


class Listed:
    """Processes that are entries of a list, and end when they are told to."""

    def __init__(self) -> None:
        self.running: list[str] = []
        self.past: list[str] = []
        self.stopped: list[str] = []
        self.refuses = False
        self.knows = True

    def start(self, work: Work) -> None:
        if self.refuses:
            raise LaunchError("The cluster did not take the job.")
        self.running.append(str(work.submission))

    def ended(self, work: Work) -> bool | None:
        if not self.knows or work.submission not in {*self.running, *self.past}:
            return None
        return work.submission in self.past

    def stop(self, work: Work) -> None:
        self.stopped.append(str(work.submission))
        self.end(str(work.submission))

    def last_words(self, work: Work) -> str:
        return f"the end of {work.submission}"

    def end(self, submission: str) -> None:
        """As if it had died."""
        if submission in self.running:
            self.running.remove(submission)
            self.past.append(submission)


class Scene:
    """A Trainer with a clock and a load that a test sets."""

    def __init__(self, database: Database, **settings: Any) -> None:
        self.database = database
        self.queue = Queue(database)
        self.processes = Listed()
        self.at = 1000.0
        self.unfinished: int | None = 0
        chosen = {"yield_after_s": 3, "resume_after_s": 30, **settings}
        self.trainer = Trainer(
            self.queue,
            self.processes,
            self.loads,
            TrainingQueueSettings(**chosen),
            clock=lambda: self.at,
            grace_s=20,
        )

    async def loads(self) -> dict[str, ModelLoad | None]:
        if self.unfinished is None:
            return {"m": None}
        return {"m": ModelLoad(1, self.unfinished, self.unfinished, CAPACITY)}

    async def turn(self, seconds: float = 0.0) -> list[str]:
        """A turn after `seconds`; what it did."""
        self.at += seconds
        return [f"{step.action} {step.id}" for step in await self.trainer.turn()]

    def change(self, job_id: str, **values: Any) -> None:
        with self.database.session() as session:
            row = session.get_one(FineTuningJob, job_id)
            for name, value in values.items():
                setattr(row, name, value)


@pytest.fixture
def scene(database: Database) -> Scene:
    return Scene(database)


async def test_work_is_started_one_at_a_time_and_gates_first(scene: Scene) -> None:
    first, second = add_job(scene.database), add_job(scene.database)
    gate = add_gate(scene.database)
    assert await scene.turn() == [f"start {gate}"]
    assert await scene.turn() == []
    assert scene.processes.running == [f"{gate}-1"]
    Attempt(scene.database, "gate", gate, 1).write({"status": "completed"})
    assert await scene.turn() == [f"start {first}"]
    assert await scene.turn() == []
    Attempt(scene.database, "job", first, 1).write({"status": "succeeded"})
    assert await scene.turn() == [f"start {second}"]
    assert scene.processes.running == [f"{gate}-1", f"{first}-1", f"{second}-1"]


async def test_as_many_run_as_the_settings_allow(database: Database) -> None:
    scene = Scene(database, max_running=2)
    ids = [add_job(database) for _ in range(3)]
    assert await scene.turn() == [f"start {job_id}" for job_id in ids[:2]]
    assert await scene.turn() == []


async def test_two_trainers_start_a_row_once(scene: Scene) -> None:
    job_id = add_job(scene.database)
    other = Scene(scene.database)
    await asyncio.gather(scene.turn(), other.turn())
    assert [*scene.processes.running, *other.processes.running] == [f"{job_id}-1"]


async def test_a_lost_process_is_replaced(scene: Scene) -> None:
    job_id = add_job(scene.database)
    await scene.turn()
    scene.processes.end(f"{job_id}-1")
    assert await scene.turn() == [f"restart {job_id}"]
    row = job_of(scene.database, job_id)
    assert (row.status, row.crashes) == ("queued", 1)
    (said,) = messages(scene.database, job_id)
    assert said.endswith(f"it goes on from its last checkpoint. the end of {job_id}-1")
    assert await scene.turn() == [f"start {job_id}"]
    assert scene.processes.running == [f"{job_id}-2"]


async def test_a_process_that_nobody_knows_is_lost_with_its_lease(scene: Scene) -> None:
    job_id = add_job(scene.database)
    await scene.turn()
    scene.processes.knows = False  # another cluster than the one it ran on
    assert await scene.turn() == []
    scene.change(job_id, lease_until=now() - 1)
    assert await scene.turn() == [f"restart {job_id}"]


async def test_a_process_that_runs_may_take_its_lease_up_again(scene: Scene) -> None:
    job_id = add_job(scene.database)
    await scene.turn()
    scene.change(job_id, lease_until=now() - 1)  # the records were away
    assert await scene.turn() == []
    assert await scene.turn(19) == []
    Attempt(scene.database, "job", job_id, 1).renew()
    assert await scene.turn(19) == []
    scene.change(job_id, lease_until=now() - 1)
    assert await scene.turn() == []
    assert await scene.turn(20) == [f"restart {job_id}"]
    assert scene.processes.stopped == [f"{job_id}-1"]


async def test_a_job_that_keeps_ending_without_a_word_is_given_up(database: Database) -> None:
    scene = Scene(database, max_crashes=2)
    job_id, gate = add_job(database), add_gate(database)
    for work_id in (gate, job_id):
        if work_id == gate:
            assert await scene.turn() == [f"start {gate}"]
        for attempt in (1, 2):
            scene.processes.end(f"{work_id}-{attempt}")
            assert await scene.turn() == [f"restart {work_id}"]
            assert await scene.turn() == [f"start {work_id}"]
        scene.processes.end(f"{work_id}-3")
        given_up = await scene.turn()
        assert given_up[0] == f"give_up {work_id}"
        assert given_up[1:] == ([f"start {job_id}"] if work_id == gate else [])
    row, run = job_of(database, job_id), gate_of(database, gate)
    for error in (row.error, run.error):
        assert error is not None
        assert error["code"] == "process_lost"
        assert "ended 3 times without a word" in error["message"]
    assert (row.status, run.status) == ("failed", "failed")
    assert f"the end of {job_id}-3" in messages(database, job_id)[-1]
    assert await scene.turn() == []


async def test_a_cancel_that_nobody_hears_stops_the_process(scene: Scene) -> None:
    job_id = add_job(scene.database)
    await scene.turn()
    scene.change(job_id, wish="cancel")
    assert await scene.turn() == []
    assert await scene.turn(29) == []
    assert await scene.turn(1) == [f"stop {job_id}"]
    row = job_of(scene.database, job_id)
    assert (row.status, row.wish) == ("cancelled", None)
    assert scene.processes.stopped == [f"{job_id}-1"]


async def test_a_cancel_waits_from_when_it_was_wished(scene: Scene) -> None:
    job_id = add_job(scene.database)
    await scene.turn()
    scene.change(job_id, wish="cancel")
    await scene.turn()
    scene.change(job_id, wish=None)  # resumed
    await scene.turn(29)
    scene.change(job_id, wish="cancel")
    assert await scene.turn(1) == []
    assert await scene.turn(30) == [f"stop {job_id}"]


async def test_a_cancelled_job_whose_process_died_is_cancelled(scene: Scene) -> None:
    job_id = add_job(scene.database)
    await scene.turn()
    scene.change(job_id, wish="cancel")
    scene.processes.end(f"{job_id}-1")
    assert await scene.turn() == [f"stop {job_id}"]
    assert job_of(scene.database, job_id).status == "cancelled"


async def test_a_paused_job_whose_process_died_is_paused(scene: Scene) -> None:
    job_id = add_job(scene.database)
    await scene.turn()
    scene.change(job_id, wish="pause")
    scene.processes.end(f"{job_id}-1")
    await scene.turn()
    assert job_of(scene.database, job_id).status == "paused"
    assert await scene.turn() == []


async def test_training_yields_to_serving_and_begins_again_when_it_is_calm(scene: Scene) -> None:
    job_id = add_job(scene.database)
    await scene.turn()
    scene.unfinished = CAPACITY
    assert await scene.turn() == []
    assert await scene.turn(2) == []
    assert await scene.turn(1) == [f"ask_to_yield {job_id}"]
    assert await scene.turn(1) == []
    attempt = Attempt(scene.database, "job", job_id, 1)
    assert attempt.wish() == "yield"
    assert attempt.stopped({}, note="", pause_s=0) == "queued"
    scene.processes.end(f"{job_id}-1")

    assert await scene.turn() == []
    scene.unfinished = 3
    assert await scene.turn() == []
    assert await scene.turn(29) == []
    scene.unfinished = 4  # no calm after all
    assert await scene.turn(1) == []
    scene.unfinished = 3
    assert await scene.turn(1) == []
    assert await scene.turn(30) == [f"start {job_id}"]
    assert scene.processes.running == [f"{job_id}-2"]
    said = messages(scene.database, job_id)
    assert said[0] == "Serving needs the machine: stopping at a checkpoint for now."


async def test_a_job_that_yielded_waits_for_its_time(scene: Scene) -> None:
    job_id = add_job(scene.database, not_before=now() + 60)
    assert await scene.turn() == []
    scene.change(job_id, not_before=now())
    assert await scene.turn() == [f"start {job_id}"]


async def test_nothing_is_started_while_a_model_does_not_say_its_load(scene: Scene) -> None:
    job_id = add_job(scene.database)
    scene.unfinished = None
    assert await scene.turn() == []
    assert await scene.turn(60) == []
    scene.unfinished = 0
    assert await scene.turn() == []
    assert await scene.turn(30) == [f"start {job_id}"]
    scene.unfinished = None
    assert await scene.turn(60) == []  # nor is anything stopped


async def test_a_start_that_fails_puts_the_row_back(scene: Scene) -> None:
    job_id = add_job(scene.database)
    scene.processes.refuses = True
    assert await scene.turn() == [f"start {job_id}"]
    row = job_of(scene.database, job_id)
    assert (row.status, row.crashes) == ("queued", 0)
    assert row.not_before == pytest.approx(now() + 10, abs=5)
    assert messages(scene.database, job_id) == ["The cluster did not take the job."]
    assert await scene.turn() == []
    scene.processes.refuses = False
    scene.change(job_id, not_before=0)
    assert await scene.turn() == [f"start {job_id}"]
    assert scene.processes.running == [f"{job_id}-2"]


async def test_a_gate_that_cannot_start_is_not_tried_at_each_turn(scene: Scene) -> None:
    gate = add_gate(scene.database)
    scene.processes.refuses = True
    assert await scene.turn() == [f"start {gate}"]
    assert await scene.turn(9) == []
    assert await scene.turn(1) == [f"start {gate}"]


async def test_a_word_at_the_very_end_is_no_crash(scene: Scene) -> None:
    """The row ends between the look at it and the look at its process."""
    job_id = add_job(scene.database)
    await scene.turn()
    ended = scene.processes.ended

    def finishing(work: Work) -> bool | None:
        if work_of(scene.database, job_id).status == "running":
            Attempt(scene.database, "job", job_id, 1).write({"status": "succeeded"})
            scene.processes.end(f"{job_id}-1")
        return ended(work)

    scene.processes.ended = finishing  # type: ignore[method-assign]
    await scene.turn()
    row = job_of(scene.database, job_id)
    assert (row.status, row.crashes) == ("succeeded", 0)


async def test_the_loop_outlives_records_that_are_away_and_wakes_when_told(scene: Scene) -> None:
    job_id = add_job(scene.database)
    look = scene.queue.open_work
    tries: list[float] = []

    def open_work() -> list[Work]:
        tries.append(time.monotonic())
        if len(tries) == 1:
            raise DatabaseError("The records are away.")
        return look()

    scene.queue.open_work = open_work  # type: ignore[method-assign]
    loop = asyncio.create_task(scene.trainer.run())
    await until(lambda: len(tries) == 1)
    scene.trainer.wake()
    await until(lambda: scene.processes.running)
    assert tries[1] - tries[0] < 0.9
    loop.cancel()
    with pytest.raises(asyncio.CancelledError):
        await loop
    assert claimed_once(scene, job_id)


def claimed_once(scene: Scene, job_id: str) -> bool:
    return job_of(scene.database, job_id).attempts == 1


async def until(what: Callable[[], Any]) -> None:
    async with asyncio.timeout(30):
        while not what():  # noqa: ASYNC110 - what is awaited has no event
            await asyncio.sleep(0.005)


def seen(watch: ServingWatch, at: float, *unfinished: int | None) -> tuple[Any, Any]:
    loads = {
        str(number): None if count is None else ModelLoad(1, 0, count, CAPACITY)
        for number, count in enumerate(unfinished)
    }
    found = watch.see(loads, at)
    return found.pressed_s, found.calm_s


def test_the_watch_tells_pressed_calm_and_neither() -> None:
    watch = ServingWatch(yield_above=1.0, resume_below=0.5)
    assert seen(watch, 0, 0) == (None, float("inf"))
    assert seen(watch, 10, 8) == (0, None)
    assert seen(watch, 12, 9) == (2, None)
    assert seen(watch, 13, 7) == (None, None)
    assert seen(watch, 14, 8) == (0, None)
    assert seen(watch, 15, 4) == (None, None)
    assert seen(watch, 16, 3) == (None, 0)
    assert seen(watch, 20, 0) == (None, 4)


def test_the_watch_goes_by_the_busiest_model() -> None:
    watch = ServingWatch(yield_above=1.0, resume_below=0.5)
    assert seen(watch, 0, 0, 8) == (0, None)
    assert seen(watch, 1, 8, 0) == (1, None)
    assert seen(watch, 2, 8, None) == (2, None)


def test_a_model_that_does_not_say_its_load_neither_begins_nor_ends_pressure() -> None:
    watch = ServingWatch(yield_above=1.0, resume_below=0.5)
    assert seen(watch, 0, None) == (None, None)
    assert seen(watch, 1, 8) == (0, None)
    assert seen(watch, 3, None) == (2, None)
    assert seen(watch, 4, 0) == (None, 0)


def test_a_model_without_replicas_or_load_is_calm() -> None:
    watch = ServingWatch(yield_above=1.0, resume_below=0.0)
    assert watch.see({"m": ModelLoad()}, 5).calm_s == float("inf")
    assert seen(watch, 6, 0) == (None, float("inf"))
    assert seen(watch, 7, 1) == (None, None)
    assert watch.see({}, 8).calm_s == 0


def test_calls_that_wait_outside_the_engines_are_pressure_too() -> None:
    watch = ServingWatch(yield_above=1.0, resume_below=0.5)
    load = ModelLoad(replicas=1, running=5, unfinished=5, capacity=8, asked=12)
    assert watch.see({"m": load}, 0).pressed_s == 0
    assert watch.see({"m": load}, 3).pressed_s == 3
    assert watch.see({"m": ModelLoad(replicas=1, unfinished=5, capacity=8)}, 4).pressed_s is None


def test_work_that_gives_way_is_no_pressure() -> None:
    watch = ServingWatch(yield_above=1.0, resume_below=0.5)
    load = ModelLoad(replicas=1, running=8, unfinished=8, capacity=8, background=8)
    assert watch.see({"m": load}, 0).pressed_s is None
    assert watch.see({"m": load}, 5).calm_s is not None
