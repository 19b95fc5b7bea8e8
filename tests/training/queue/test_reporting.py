"""What a running process tells, and what it hears, while the records come and go."""

import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cluster.database import Database
from cluster.errors import DatabaseError
from cluster.records import FineTuningEvent, FineTuningJob, GateRun, now
from tests.training.queue.rows import add_gate, add_job, claimed, job_of, messages, work_of
from training.errors import SupersededError
from training.progress import StepDone, Validated
from training.queue.ledger import LEASE_S, Attempt, Queue, job_event
from training.queue.reporting import Reporter


class Unsteady:
    """A database that can be away."""

    def __init__(self, database: Database) -> None:
        self._database = database
        self.away = False
        self.refused = 0

    @contextmanager
    def session(self, *, read_only: bool = False) -> Iterator[Session]:
        if self.away:
            self.refused += 1
            raise DatabaseError("The records are away.")
        with self._database.session(read_only=read_only) as session:
            yield session


def step(number: int, steps: int = 10, loss: float = 1.5) -> StepDone:
    return StepDone(
        step=number,
        steps=steps,
        epoch=number / steps,
        loss=loss,
        accuracy=0.25,
        learning_rate=1e-3,
        gradient_norm=0.5,
        tokens=100,
        trained_tokens=10,
        seconds=0.5,
        workers=2,
    )


def until(what: Callable[[], Any], timeout_s: float = 30) -> None:
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.005)


def begun(database: Any, job_id: str, real: Database) -> Attempt:
    return Attempt(database, "job", job_id, claimed(real, job_id).attempts)


def test_events_arrive_in_the_order_they_were_told(database: Database) -> None:
    job_id = add_job(database)
    with Reporter(begun(database, job_id, database), turn_s=0.01) as reporter:
        reporter.say("first")
        for number in range(1, 6):
            reporter.hear(step(number))
            if number == 3:
                until(lambda: len(messages(database, job_id, "metrics")) >= 3)
        reporter.hear(Validated(step=5, loss=2.0, accuracy=0.5, best=True, seconds=1))
        reporter.say("last", level="warn")
    with database.session(read_only=True) as session:
        rows = list(session.scalars(select(FineTuningEvent).order_by(FineTuningEvent.id)))
    assert [row.message for row in rows] == [
        "first",
        *(f"Step {number}/10: training loss=1.5000" for number in range(1, 6)),
        "Step 5: validation loss=2.0000, the best so far",
        "last",
    ]
    assert [row.level for row in rows][-1] == "warn"
    assert rows[1].data == {
        "step": 1,
        "total_steps": 10,
        "train_loss": 1.5,
        "train_mean_token_accuracy": 0.25,
        "tokens_per_second": 200.0,
        "epoch": 0.1,
        "learning_rate": 1e-3,
        "gradient_norm": 0.5,
        "tokens": 100,
        "workers": 2,
    }
    assert rows[6].data == {
        "step": 5,
        "valid_loss": 2.0,
        "valid_mean_token_accuracy": 0.5,
        "best": True,
    }


def test_a_long_run_tells_about_a_thousand_steps_and_its_last(database: Database) -> None:
    job_id = add_job(database)
    reporter = Reporter(begun(database, job_id, database))
    for number in range(1, 4508):
        reporter.hear(step(number, 4507))
    reporter.flush()
    with database.session(read_only=True) as session:
        count = session.scalar(select(func.count()).select_from(FineTuningEvent))
    told = messages(database, job_id, "metrics")
    assert count == len(told) == 4507 // 4 + 1
    assert told[0].startswith("Step 4/")
    assert told[-1].startswith("Step 4507/")


def test_records_that_are_away_for_a_while_lose_nothing(database: Database) -> None:
    job_id = add_job(database)
    unsteady = Unsteady(database)
    shelf = [[job_event(job_id, "a checkpoint")]]
    with Reporter(
        begun(unsteady, job_id, database), lambda: shelf.pop() if shelf else [], turn_s=0.01
    ) as reporter:
        unsteady.away = True
        reporter.say("one")
        reporter.change("crashes", 0)
        reporter.change("estimated_finish", 5)
        until(lambda: unsteady.refused >= 2)
        reporter.say("two")
        reporter.change("estimated_finish", 7)
        refused = unsteady.refused
        until(lambda: unsteady.refused >= refused + 2)
        assert messages(database, job_id) == []
        assert not reporter.stopping()
        unsteady.away = False
        until(lambda: len(messages(database, job_id)) == 3)
        reporter.say("three")
    assert set(messages(database, job_id)[:-1]) == {"a checkpoint", "one", "two"}
    assert messages(database, job_id)[-1] == "three"
    assert job_of(database, job_id).estimated_finish == 7


def test_of_too_many_events_the_oldest_go(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("training.queue.reporting._MOST_EVENTS", 3)
    job_id = add_job(database)
    unsteady = Unsteady(database)
    reporter = Reporter(begun(unsteady, job_id, database))
    unsteady.away = True
    for number in range(4):
        reporter.say(f"{number}")
        with pytest.raises(DatabaseError):
            reporter.flush()
    unsteady.away = False
    reporter.flush()
    assert messages(database, job_id) == ["1", "2", "3"]


def test_what_was_told_last_is_written_at_the_end_however_it_ends(database: Database) -> None:
    job_id = add_job(database)
    with (
        pytest.raises(ValueError, match="broken"),
        Reporter(begun(database, job_id, database), turn_s=600) as reporter,
    ):
        reporter.say("reading the data")
        raise ValueError("broken")
    assert messages(database, job_id) == ["reading the data"]


def test_an_end_while_the_records_are_away_is_no_error(database: Database) -> None:
    job_id = add_job(database)
    unsteady = Unsteady(database)
    with Reporter(begun(unsteady, job_id, database), turn_s=600) as reporter:
        unsteady.away = True
        reporter.say("lost with the process")
    unsteady.away = False
    reporter.flush()
    assert messages(database, job_id) == ["lost with the process"]


def test_a_run_that_was_taken_over_stops_and_writes_no_more(database: Database) -> None:
    job_id = add_job(database)
    with Reporter(begun(database, job_id, database), turn_s=0.01) as reporter:
        assert not reporter.stopping()
        Queue(database).put_back(work_of(database, job_id), "lost", crashed=True, pause_s=0)
        until(lambda: reporter.superseded)
        assert reporter.stopping()
        reporter.say("too late")
        claimed(database, job_id)
    assert messages(database, job_id) == ["lost"]
    with pytest.raises(SupersededError):
        reporter.flush()


def test_a_wish_is_heard_and_may_be_withdrawn(database: Database) -> None:
    job_id = add_job(database)

    def wish(value: str | None) -> None:
        with database.session() as session:
            session.get_one(FineTuningJob, job_id).wish = value

    with Reporter(begun(database, job_id, database), turn_s=0.01) as reporter:
        wish("pause")
        until(reporter.stopping)
        assert reporter.wish == "pause"
        wish(None)
        until(lambda: not reporter.stopping())


def test_a_process_that_must_end_stops_whatever_the_row_says(database: Database) -> None:
    job_id = add_job(database)
    unsteady = Unsteady(database)
    with Reporter(begun(unsteady, job_id, database), turn_s=0.01) as reporter:
        reporter.terminate()
        unsteady.away = True  # counts turns
        until(lambda: unsteady.refused >= 2)
        unsteady.away = False
        reporter.say("seen")
        until(lambda: messages(database, job_id) == ["seen"])
        assert reporter.stopping()
        assert reporter.wish is None


def test_the_lease_is_renewed_while_there_is_nothing_to_tell(database: Database) -> None:
    job_id, gate_id = add_job(database), add_gate(database)
    gate = Attempt(database, "gate", gate_id, claimed(database, gate_id).attempts)
    kinds: list[tuple[Attempt, type[FineTuningJob] | type[GateRun]]]
    kinds = [(begun(database, job_id, database), FineTuningJob), (gate, GateRun)]
    for attempt, kind in kinds:
        with Reporter(attempt, turn_s=0.01, renew_s=0.0) as reporter:
            reporter.say("only jobs tell")
            with database.session() as session:
                row: Any = session.get_one(kind, attempt.id)
                row.lease_until = 1
            until(lambda: work_of(database, attempt.id).lease_until >= now() + LEASE_S - 5)  # noqa: B023
    assert messages(database, job_id) == ["only jobs tell"]


def test_the_end_is_foretold_from_the_steps_so_far(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    at = time.monotonic()
    job_id = add_job(database)
    reporter = Reporter(begun(database, job_id, database))
    monkeypatch.setattr("training.queue.reporting.time.monotonic", lambda: at)
    reporter.hear(step(41, 100))  # it went on from a checkpoint
    reporter.flush()
    assert job_of(database, job_id).estimated_finish is None
    at += 60
    reporter.hear(step(61, 100))
    reporter.flush()
    assert job_of(database, job_id).estimated_finish == pytest.approx(now() + 39 * 3, abs=5)


def test_steps_are_told_from_one_thread_while_another_writes(database: Database) -> None:
    job_id = add_job(database)

    def tell(reporter: Reporter) -> None:
        for number in range(1, 51):
            reporter.hear(step(number, 50))

    with Reporter(begun(database, job_id, database), turn_s=0.0) as reporter:
        tellers = [threading.Thread(target=tell, args=(reporter,)) for _ in range(2)]
        for teller in tellers:
            teller.start()
        for teller in tellers:
            teller.join()
    assert len(messages(database, job_id, "metrics")) == 100
