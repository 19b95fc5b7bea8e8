"""Wishes that a job stops, and what is there when it has."""

import os
import signal
from pathlib import Path
from typing import Any

import pytest

from cluster.records import FineTuningCheckpoint, now
from tests.training.queue.place import Place, answers_otherwise, until
from tests.training.queue.rows import job_of, messages, work_of
from training import dataset, preflight
from training.data.curation.marking import Marker
from training.errors import TrainingError
from training.queue import jobs
from training.queue.ledger import Queue
from training.queue.reporting import Reporter
from training.tokens import ExampleTokenizer


def test_a_cancelled_job_leaves_an_adapter_that_can_be_used(
    place: Place, model: Path, tmp_path: Path
) -> None:
    job_id = place.job()
    assert place.run(job_id, {6: place.wishing(job_id, "cancel")}) == "cancelled"
    row = job_of(place.database, job_id)
    assert (row.status, row.wish, row.adapter_id) == ("cancelled", None, None)
    assert row.finished_at is not None
    assert len(place.losses(job_id)) == 6
    last = place.rows(FineTuningCheckpoint)[-1]
    assert last.step == 6
    assert answers_otherwise(model, place.fetched(last.adapter_id, tmp_path / "adapter"))
    assert messages(place.database, job_id)[-1] == (
        f"Cancelled at a checkpoint; its adapter is {last.adapter_id}."
    )


def wish_during(
    place: Place, patch: pytest.MonkeyPatch, job_id: str, wish: str, owner: Any, stage: str
) -> list[None]:
    """Wish at the first call of a stage, and let it go on when that is heard; the calls."""
    done, calls = getattr(owner, stage), list[None]()

    def slow(*arguments: Any, **options: Any) -> Any:
        calls.append(None)
        if len(calls) == 1:
            assert place.reporter is not None
            place.change(job_id, wish=wish)
            until(place.reporter.stopping)
        return done(*arguments, **options)

    patch.setattr(owner, stage, slow)
    return calls


@pytest.mark.parametrize(
    ("owner", "stage"),
    [
        (preflight, "ensure_model"),
        (dataset, "read_rows"),
        (Marker, "mark"),
        (ExampleTokenizer, "samples"),
        (jobs, "base_revision"),
    ],
)
def test_a_wish_is_heard_while_the_data_is_prepared(
    place: Place, monkeypatch: pytest.MonkeyPatch, owner: Any, stage: str
) -> None:
    job_id = place.job(training={"data": {"train": "training", "curation": {}}})
    calls = wish_during(place, monkeypatch, job_id, "cancel", owner, stage)
    assert place.run(job_id) == "cancelled"
    assert len(calls) == 1  # of the rows too, where it is called once a row
    row = job_of(place.database, job_id)
    assert (row.status, row.wish, row.error) == ("cancelled", None, None)
    assert row.finished_at is not None
    assert messages(place.database, job_id)[-1] == "Cancelled before its training began."
    assert not (place.settings.runs_folder / job_id / "metrics.jsonl").exists()


def test_a_job_paused_while_its_data_was_prepared_goes_on(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = place.job(crashes=1)
    with monkeypatch.context() as patch:
        wish_during(place, patch, job_id, "pause", ExampleTokenizer, "samples")
        assert place.run(job_id) == "paused"
    assert job_of(place.database, job_id).crashes == 1
    place.change(job_id, status="queued")
    assert place.run(job_id) == "succeeded"
    assert len(place.losses(job_id)) == 12


def test_a_paused_job_goes_on_as_if_it_had_never_stopped(place: Place) -> None:
    whole, job_id = place.job(), place.job()
    assert place.run(whole) == "succeeded"
    assert place.run(job_id, {6: place.wishing(job_id, "pause")}) == "paused"
    assert job_of(place.database, job_id).finished_at is None
    assert len(place.losses(job_id)) == 6

    place.change(job_id, status="queued")
    assert place.run(job_id) == "succeeded"
    assert place.losses(job_id) == pytest.approx(place.losses(whole), abs=1e-5)
    row = job_of(place.database, job_id)
    assert row.attempts == 2
    assert row.adapter_id == job_of(place.database, whole).adapter_id
    steps = [c.step for c in place.rows(FineTuningCheckpoint) if c.job_id == job_id]
    assert steps == [4, 6, 8, 12]


def test_a_job_that_yields_waits_in_the_queue(place: Place) -> None:
    job_id = place.job()

    def press(reporter: Reporter) -> None:
        Queue(place.database).ask_to_yield(work_of(place.database, job_id))
        until(reporter.stopping)

    assert place.run(job_id, {2: press}) == "queued"
    row = job_of(place.database, job_id)
    assert (row.status, row.wish, row.finished_at) == ("queued", None, None)
    assert row.not_before == pytest.approx(now() + 30, abs=5)
    assert place.run(job_id) == "succeeded"
    assert len(place.losses(job_id)) == 12


def test_sigterm_puts_the_job_back_at_a_checkpoint(place: Place) -> None:
    job_id = place.job()
    before = signal.getsignal(signal.SIGTERM)

    def terminate(_reporter: Reporter) -> None:
        os.kill(os.getpid(), signal.SIGTERM)

    assert place.run(job_id, {6: terminate}) == "queued"
    assert signal.getsignal(signal.SIGTERM) is before
    row = job_of(place.database, job_id)
    assert (row.status, row.crashes) == ("queued", 0)
    assert row.not_before <= now()
    assert place.rows(FineTuningCheckpoint)[-1].step == 6


def test_an_error_after_sigterm_is_not_the_job_s(place: Place) -> None:
    job_id = place.job()

    def lose_workers(reporter: Reporter) -> None:
        reporter.terminate()
        raise TrainingError("The workers are gone.")

    with pytest.raises(TrainingError, match="workers are gone"):
        place.run(job_id, {6: lose_workers})
    row = job_of(place.database, job_id)
    assert (row.status, row.error) == ("running", None)
