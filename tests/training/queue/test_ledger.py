"""The queue in the records: who may take a row, and who may still write to it."""

import threading
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import replace
from typing import Any

import pytest
from sqlalchemy import select, text

from cluster.database import Database
from cluster.ids import new_id
from cluster.records import (
    Adapter,
    FineTuningCheckpoint,
    FineTuningEvent,
    FineTuningJob,
    GateRun,
    now,
)
from cluster.tenancy import acting_in
from tests.training.queue.rows import (
    add_gate,
    add_job,
    claimed,
    gate_of,
    job_of,
    messages,
    work_of,
)
from training.errors import SupersededError
from training.queue.ledger import LEASE_S, START_LEASE_S, Attempt, Queue, job_event


def change(database: Database, job_id: str, **values: Any) -> None:
    with database.session() as session:
        row = session.get_one(FineTuningJob, job_id)
        for name, value in values.items():
            setattr(row, name, value)


def adapter(**columns: Any) -> Adapter:
    return Adapter(
        **{
            "id": "ft:tiny:abc",
            "number": new_id("adapter"),
            "base": "tiny",
            "base_revision": "0" * 64,
            "kind": "lora",
            "files": {},
            "bytes": 1,
            **columns,
        }
    )


def test_one_of_many_claimers_gets_a_row(database: Database) -> None:
    work = work_of(database, add_job(database))
    together = threading.Barrier(3, timeout=30)

    def claim(_number: int) -> Any:
        together.wait()
        return Queue(database).claim(work)

    with ThreadPoolExecutor(3) as threads:
        found = [one for one in threads.map(claim, range(3)) if one is not None]
    assert [(one.status, one.attempts) for one in found] == [("running", 1)]
    assert found[0].submission == f"{work.id}-1"
    assert found[0].lease_until == pytest.approx(now() + START_LEASE_S, abs=5)
    assert job_of(database, work.id).attempts == 1


def test_a_claim_made_on_an_older_look_fails(database: Database) -> None:
    job_id = add_job(database)
    seen = work_of(database, job_id)
    Queue(database).put_back(claimed(database, job_id), "no room", crashed=False, pause_s=0)
    assert Queue(database).claim(seen) is None
    again = claimed(database, job_id)
    assert (again.attempts, again.submission) == (2, f"{job_id}-2")


def test_a_second_attempt_keeps_the_time_of_the_first(database: Database) -> None:
    job_id = add_job(database, started_at=7)
    claimed(database, job_id)
    assert job_of(database, job_id).started_at == 7


def test_gate_runs_come_before_jobs_and_ended_rows_not_at_all(database: Database) -> None:
    first, second = add_job(database), add_job(database)
    add_job(database, status="succeeded")
    add_job(database, status="paused")
    gate = add_gate(database)
    add_gate(database, status="completed")
    claimed(database, second)
    found = [(work.id, work.kind, work.status) for work in Queue(database).open_work()]
    assert found == [
        (gate, "gate", "queued"),
        (first, "job", "queued"),
        (second, "job", "running"),
    ]


@pytest.mark.parametrize("kind", ["job", "gate"])
def test_an_older_attempt_may_not_do_anything(database: Database, kind: Any) -> None:
    work_id = (add_job if kind == "job" else add_gate)(database)
    old = Attempt(database, kind, work_id, claimed(database, work_id).attempts)
    old.begin()
    running = work_of(database, work_id)
    Queue(database).put_back(running, "lost", crashed=True, pause_s=0)
    for state in ("queued", "running"):
        for act in (old.begin, old.renew, old.wish, lambda: old.write({"status": "failed"})):
            with pytest.raises(SupersededError, match=r"Attempt 1 at .* counts no more"):
                act()
        row = (job_of if kind == "job" else gate_of)(database, work_id)
        assert row.status == state
        if state == "queued":
            claimed(database, work_id)
    assert Attempt(database, kind, work_id, 2).begin().attempts == 2


def test_a_stopped_older_attempt_leaves_the_row_alone(database: Database) -> None:
    job_id = add_job(database)
    old = Attempt(database, "job", job_id, claimed(database, job_id).attempts)
    Queue(database).put_back(work_of(database, job_id), "lost", crashed=True, pause_s=0)
    claimed(database, job_id)
    change(database, job_id, wish="cancel")
    with pytest.raises(SupersededError):
        old.stopped({}, adapter(), note="", pause_s=0)
    row = job_of(database, job_id)
    assert (row.status, row.wish) == ("running", "cancel")
    with database.session() as session:
        assert session.get(Adapter, "ft:tiny:abc") is None


@pytest.mark.parametrize("status", ["succeeded", "failed", "cancelled", "paused"])
def test_a_row_at_its_end_takes_nothing_more(database: Database, status: str) -> None:
    job_id = add_job(database)
    attempt = Attempt(database, "job", job_id, claimed(database, job_id).attempts)
    attempt.write({"status": status})
    with pytest.raises(SupersededError, match=f"it is {status}"):
        attempt.write({"status": "queued"}, job_event(job_id, "too late"))
    assert messages(database, job_id) == []


def test_a_row_that_is_gone_supersedes(database: Database) -> None:
    with pytest.raises(SupersededError, match="it is gone"):
        Attempt(database, "job", "ftjob-none", 1).begin()


def test_what_ends_a_row_touches_the_running_attempt_only(database: Database) -> None:
    queue = Queue(database)
    job_id = add_job(database)
    old = claimed(database, job_id)
    queue.put_back(old, "lost", crashed=True, pause_s=0)
    for status, seen in (("queued", old), ("running", old), ("running", replace(old, attempts=3))):
        if status == "running" and job_of(database, job_id).status == "queued":
            claimed(database, job_id)
        queue.put_back(seen, "again", crashed=True, pause_s=0)
        queue.give_up(seen, "given up", "process_lost")
        queue.cancelled(seen, "cancelled")
        assert (job_of(database, job_id).status, job_of(database, job_id).crashes) == (status, 1)
    assert messages(database, job_id) == ["lost"]


def test_a_row_put_back_counts_its_crash_and_waits(database: Database) -> None:
    job_id = add_job(database)
    Queue(database).put_back(claimed(database, job_id), "no room", crashed=False, pause_s=60)
    row = job_of(database, job_id)
    assert (row.status, row.crashes, row.lease_until, row.submission) == ("queued", 0, None, None)
    assert row.not_before == pytest.approx(now() + 60, abs=5)
    Queue(database).put_back(claimed(database, job_id), "lost", crashed=True, pause_s=0)
    assert job_of(database, job_id).crashes == 1
    assert messages(database, job_id) == ["no room", "lost"]


@pytest.mark.parametrize(
    ("wish", "status"), [("cancel", "cancelled"), ("pause", "paused"), ("yield", "queued")]
)
def test_a_wish_that_a_lost_process_did_not_hear_is_granted(
    database: Database, wish: str, status: str
) -> None:
    job_id = add_job(database)
    work = claimed(database, job_id)  # the wish comes after the look
    change(database, job_id, wish=wish)
    Queue(database).put_back(work, "lost", crashed=True, pause_s=0)
    row = job_of(database, job_id)
    assert (row.status, row.wish) == (status, None)
    assert (row.finished_at is not None) == (wish == "cancel")


def test_given_up_and_cancelled_rows_say_why(database: Database) -> None:
    lost, cancelled = add_job(database), add_job(database)
    gate = add_gate(database)
    queue = Queue(database)
    queue.give_up(claimed(database, lost), "It ended 4 times.", "process_lost")
    queue.cancelled(claimed(database, cancelled), "Cancelled.")
    queue.give_up(claimed(database, gate), "It ended 4 times.", "process_lost")
    error = {"code": "process_lost", "message": "It ended 4 times.", "param": None}
    for row in (job_of(database, lost), gate_of(database, gate)):
        assert (row.status, row.error) == ("failed", error)
        assert row.finished_at is not None
    assert messages(database, lost) == ["It ended 4 times."]
    assert job_of(database, cancelled).status == "cancelled"
    assert messages(database, cancelled) == ["Cancelled."]


def test_only_a_running_job_without_a_wish_is_asked_to_yield(database: Database) -> None:
    queue = Queue(database)
    waiting, running = add_job(database), add_job(database)
    queue.ask_to_yield(work_of(database, waiting))
    assert job_of(database, waiting).wish is None
    work = claimed(database, running)
    queue.ask_to_yield(work)
    queue.ask_to_yield(work)
    assert job_of(database, running).wish == "yield"
    assert len(messages(database, running)) == 1
    change(database, running, wish="cancel")
    queue.ask_to_yield(work)
    assert job_of(database, running).wish == "cancel"


@pytest.mark.parametrize(
    ("wish", "status", "said", "waits"),
    [
        ("cancel", "cancelled", "Cancelled at step 3.", 0),
        ("pause", "paused", "Paused at step 3.", 0),
        ("yield", "queued", "Gave its workers back to serving at step 3.", 60),
        (None, "queued", "Stopped, to go on at step 3.", 0),
    ],
)
def test_a_stopped_job_becomes_what_its_row_wishes_by_now(
    database: Database, wish: str | None, status: str, said: str, waits: int
) -> None:
    job_id = add_job(database)
    attempt = Attempt(database, "job", job_id, claimed(database, job_id).attempts)
    change(database, job_id, wish=wish)
    found = attempt.stopped({"crashes": 0}, adapter(), note=" at step 3", pause_s=60)
    row = job_of(database, job_id)
    assert (found, row.status, row.wish) == (status, status, None)
    assert (row.finished_at is not None) == (wish == "cancel")
    assert row.not_before == pytest.approx(now() + waits, abs=5)
    assert messages(database, job_id) == [said]
    with database.session() as session:
        assert session.get(Adapter, "ft:tiny:abc") is not None


def test_a_lease_is_taken_and_renewed(database: Database) -> None:
    job_id = add_job(database)
    attempt = Attempt(database, "job", job_id, claimed(database, job_id).attempts)
    for act in (attempt.begin, attempt.renew):
        change(database, job_id, lease_until=1)
        act()
        lease = job_of(database, job_id).lease_until
        assert lease == pytest.approx(now() + LEASE_S, abs=5)


def test_an_adapter_is_never_changed_by_a_second_write(database: Database) -> None:
    job_id = add_job(database)
    attempt = Attempt(database, "job", job_id, claimed(database, job_id).attempts)
    attempt.write({}, adapter(metrics={"step": 1}), adapter(metrics={"step": 2}))
    with database.session() as session:
        row = session.get_one(Adapter, "ft:tiny:abc")
        row.deleted_at = 1
        first = row.number
    attempt.write({}, adapter(metrics={"step": 3}, lineage={"job": "other"}))
    with database.session() as session:
        row = session.get_one(Adapter, "ft:tiny:abc")
        assert (row.metrics, row.lineage, row.number) == ({"step": 1}, {}, first)
        assert row.deleted_at is None  # trained again, it may be asked for again


def test_a_checkpoint_that_is_written_again_keeps_its_time(database: Database) -> None:
    job_id = add_job(database)
    attempt = Attempt(database, "job", job_id, claimed(database, job_id).attempts)

    def checkpoint(at: int, loss: float) -> FineTuningCheckpoint:
        return FineTuningCheckpoint(
            id="ftckpt_1",
            job_id=job_id,
            adapter_id="ft:tiny:abc",
            step=1,
            metrics={"train_loss": loss},
            created_at=at,
        )

    attempt.write({}, checkpoint(5, 1.0))
    attempt.write({}, checkpoint(9, 2.0))
    with database.session() as session:
        row = session.get_one(FineTuningCheckpoint, "ftckpt_1")
        assert (row.created_at, row.metrics) == (5, {"train_loss": 2.0})


def test_a_write_that_fails_changes_nothing(database: Database) -> None:
    job_id = add_job(database)
    attempt = Attempt(database, "job", job_id, claimed(database, job_id).attempts)
    gate = GateRun(id="gate_1", alias="a", adapter_id="x", evaluation_file="f", settings={})
    with pytest.raises(Exception, match="number"):
        attempt.write({"status": "succeeded"}, gate, adapter(number=None))
    assert job_of(database, job_id).status == "running"
    with database.session() as session:
        assert session.get(GateRun, "gate_1") is None


def test_two_jobs_may_make_the_same_adapter_at_once(database: Database) -> None:
    if database.is_sqlite:
        pytest.skip("SQLite has one writer at a time")
    job_id = add_job(database)
    attempt = Attempt(database, "job", job_id, claimed(database, job_id).attempts)
    with ThreadPoolExecutor(1) as threads:
        with database.session() as session:
            session.add(adapter(metrics={"step": 1}))
            session.flush()
            second = threads.submit(attempt.write, {"crashes": 5}, adapter(metrics={"step": 2}))
            deadline = time.monotonic() + 30
            waiting = text("SELECT count(*) FROM pg_locks WHERE NOT granted")
            while not session.scalar(waiting):  # until the other insert waits for this one
                assert time.monotonic() < deadline
                time.sleep(0.01)
        second.result(timeout=30)
    assert job_of(database, job_id).crashes == 5
    with database.session() as session:
        assert session.get_one(Adapter, "ft:tiny:abc").metrics == {"step": 1}


def test_what_is_written_belongs_to_the_rows_project(database: Database) -> None:
    """In whatever thread, and whether the Trainer or the job's own process writes."""
    with acting_in("proj_theirs"):
        job_id = add_job(database)
    work = claimed(database, job_id)
    attempt = Attempt(database, "job", job_id, work.attempts)
    attempt.begin()
    with ThreadPoolExecutor(1) as thread:
        thread.submit(attempt.write, {}, job_event(job_id, "from the process")).result()
    Queue(database).put_back(work, "from the Trainer", crashed=True, pause_s=0)
    with database.session() as session:
        found = session.execute(select(FineTuningEvent.message, FineTuningEvent.project_id)).all()
    assert sorted(map(tuple, found)) == [
        ("from the Trainer", "proj_theirs"),
        ("from the process", "proj_theirs"),
    ]
