"""Fine-tuning jobs from their rows to adapter versions, with a tiny model in this process."""

import csv
import io
import json
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import DatabaseError
from cluster.records import Adapter, FineTuningCheckpoint, StoredFile
from tests.training.queue.place import BASE, ROWS, Place, answers_otherwise, until
from tests.training.queue.rows import claimed, gate_of, job_of, messages, work_of
from training.errors import SupersededError
from training.queue import jobs
from training.queue.ledger import Attempt, Queue
from training.queue.reporting import Reporter


def test_a_job_becomes_an_adapter_version(place: Place, model: Path, tmp_path: Path) -> None:
    job_id = place.job(suffix="sums")
    assert place.run(job_id) == "succeeded"

    row = job_of(place.database, job_id)
    assert (row.status, row.error, row.wish, row.estimated_finish) == (
        "succeeded",
        None,
        None,
        None,
    )
    assert row.finished_at is not None
    assert row.report is not None
    assert row.trained_tokens == 3 * row.report["data"]["trained_tokens"]
    assert row.report["steps_taken"] == 12
    assert row.report["weights"] == f"runs/{job_id}/adapter"
    assert str(place.settings.data_dir) not in json.dumps(row.report)
    assert len(row.result_files) >= 2
    for file_id in row.result_files:
        kept = place.store.read(f"proj_default/{file_id}").decode()
        assert str(place.settings.data_dir) not in kept
    adapter_id = str(row.adapter_id)
    assert adapter_id.startswith(f"ft:{BASE}:sums:")

    adapter = place.adapter(adapter_id)
    assert (adapter.base, adapter.kind, adapter.metrics["step"]) == (BASE, "lora", 12)
    lineage = adapter.lineage
    assert (lineage["job"], lineage["step"]) == (job_id, 12)
    assert lineage["training_file"]["sha256"] == place.rows(StoredFile)[0].sha256
    assert {"everloop", "peft", "torch", "ray"} == set(lineage["code"])
    assert answers_otherwise(model, place.fetched(adapter_id, tmp_path / "adapter"))
    config = json.loads((tmp_path / "adapter" / "adapter_config.json").read_text())
    assert config["base_model_name_or_path"] == str(model)

    checkpoints = place.rows(FineTuningCheckpoint)
    assert [checkpoint.step for checkpoint in checkpoints] == [4, 8, 12]
    assert checkpoints[-1].adapter_id == adapter_id
    losses = place.losses(job_id)
    for checkpoint in checkpoints:
        assert checkpoint.metrics["train_loss"] == losses[checkpoint.step - 1]
        assert checkpoint.metrics["full_valid_loss"] > 0
        assert place.adapter(checkpoint.adapter_id).metrics["step"] == checkpoint.step

    told = messages(place.database, job_id)
    assert told[0] == "Attempt 1: reading the data."
    assert told[-1] == f"Succeeded: {adapter_id}."
    assert len(messages(place.database, job_id, "metrics")) == 12 + 3

    results = {file.id: file for file in place.rows(StoredFile) if file.id in row.result_files}
    names = [results[file_id].filename for file_id in row.result_files]
    assert names == ["step_metrics.csv", "report.html"]
    text = place.store.read(results[row.result_files[0]].storage_key).decode()
    table = list(csv.DictReader(io.StringIO(text)))
    assert [int(line["step"]) for line in table] == list(range(1, 13))
    assert [float(line["train_loss"]) for line in table] == losses
    assert [line["step"] for line in table if line["valid_loss"]] == ["4", "8", "12"]
    page = place.store.read(results[row.result_files[1]].storage_key)
    assert page.count(b"<svg") == 2


def test_the_same_data_makes_the_same_adapter(place: Place) -> None:
    first, second = place.job(), place.job()
    for job_id in (first, second):
        assert place.run(job_id) == "succeeded"
    adapter_id = job_of(place.database, first).adapter_id
    assert job_of(place.database, second).adapter_id == adapter_id
    assert place.adapter(str(adapter_id)).lineage["job"] == first
    assert len(place.rows(Adapter)) == 3
    assert len(place.rows(FineTuningCheckpoint)) == 6
    other = place.job(training={"seed": 1})
    assert place.run(other) == "succeeded"
    assert job_of(place.database, other).adapter_id != adapter_id


def test_checkpoints_of_the_same_best_weights_are_one_adapter(place: Place) -> None:
    job_id = place.job(
        training={
            "epochs": 60,
            "optimizer": {"learning_rate": 5e-2},
            "validation": {"patience": 3, "every_steps": 2},
            "checkpoint_every": 2,
            "checkpoints_kept": 100,
        }
    )
    assert place.run(job_id) == "succeeded"
    row = job_of(place.database, job_id)
    assert row.report is not None
    assert row.report["ending"] == "early_stopping"
    last = place.rows(FineTuningCheckpoint)[-4:]
    assert {checkpoint.adapter_id for checkpoint in last} == {row.adapter_id}
    best = min(v["loss"] for v in row.report["validations"])
    assert last[-1].metrics["best_valid_loss"] == best < last[-1].metrics["full_valid_loss"]


def test_a_gate_is_queued_with_the_job_s_success(place: Place) -> None:
    settings = {"max_items": 9}
    evaluation = place.file()
    job_id = place.job(
        evaluation_file=evaluation, gate={"alias": "assistant", "settings": settings}
    )
    assert place.run(job_id) == "succeeded"
    row = job_of(place.database, job_id)
    gate = gate_of(place.database, str(row.gate_id))
    assert (gate.status, gate.alias, gate.job_id) == ("queued", "assistant", job_id)
    assert (gate.adapter_id, gate.evaluation_file) == (row.adapter_id, evaluation)
    assert gate.settings == settings
    assert messages(place.database, job_id)[-1] == f"Queued the gate {gate.id} for assistant."


def test_curation_leaves_its_receipt_as_a_result(place: Place) -> None:
    evaluation = place.file(ROWS.splitlines()[3])
    curation = {"exact_duplicates": False, "near_duplicates": {"remove": False}}
    job_id = place.job(
        evaluation_file=evaluation,
        training={
            "data": {"train": "training", "evaluation": "evaluation", "curation": curation},
            "epochs": 1,
        },
    )
    assert place.run(job_id) == "succeeded"
    row = job_of(place.database, job_id)
    receipt = json.loads(
        next(
            place.store.read(file.storage_key)
            for file in place.rows(StoredFile)
            if file.id in row.result_files and file.filename == "receipt.json"
        )
    )
    stages = {stage["stage"]: stage for stage in receipt["stages"]}
    assert sum(stages["decontamination"]["removed"].values()) == 1
    assert place.adapter(str(row.adapter_id)).lineage["receipt"] == receipt


def test_all_weights_are_no_adapter_and_ask_for_no_gate(place: Place) -> None:
    job_id = place.job(
        training={"adapter": {"kind": "full"}, "optimizer": {"learning_rate": 1e-3}, "epochs": 1},
        gate={"alias": "assistant", "settings": {}},
    )
    assert place.run(job_id) == "succeeded"
    row = job_of(place.database, job_id)
    assert (row.adapter_id, row.gate_id) == (None, None)
    assert messages(place.database, job_id)[-1] == "Succeeded."
    assert (place.settings.runs_folder / job_id / "model" / "model.safetensors").is_file()


@pytest.mark.parametrize(
    ("data", "training", "code", "says"),
    [
        (b'{"messages": []}\n', {}, "dataset_error", "line 1, messages"),
        (ROWS, {"batch": {"max_tokens": 2000}}, "plan_error", "context of 512 tokens"),
        (
            ROWS,
            {"optimizer": {"learning_rate": 1e30, "warmup_share": 0}, "adapter": {"kind": "full"}},
            "diverged_error",
            "Lower `optimizer.learning_rate`",
        ),
    ],
)
def test_what_the_job_does_wrong_stands_in_its_row(
    place: Place, data: bytes, training: dict[str, Any], code: str, says: str
) -> None:
    job_id = place.job(place.file(data), training)
    assert place.run(job_id) == "failed"
    row = job_of(place.database, job_id)
    assert row.error is not None
    assert (row.status, row.error["code"], row.error["param"]) == ("failed", code, None)
    assert says in row.error["message"]
    assert row.finished_at is not None
    told = messages(place.database, job_id)
    assert told[0] == "Attempt 1: reading the data."
    assert says in told[-1]
    assert str(place.settings.data_dir) not in row.error["message"] + told[-1]


def test_a_file_that_is_gone_or_other_fails_the_job(place: Place) -> None:
    lost, other = place.file(), place.file()
    place.store.delete(f"proj_default/{lost}")
    place.store.put(f"proj_default/{other}", [b"other bytes"])
    for file_id, says in (
        ("file-none", "does not exist any more"),
        (lost, "bytes of the file"),
        (other, "not those uploaded"),
    ):
        job_id = place.job(file_id)
        assert place.run(job_id) == "failed"
        row = job_of(place.database, job_id)
        assert row.error is not None
        assert row.error["code"] == "dataset_error"
        assert says in row.error["message"]
        assert "Upload it again" in row.error["message"]


def test_a_table_s_columns_are_those_it_was_uploaded_with(place: Place) -> None:
    rows = [f"{n} + {n % 7}?,It is {n + n % 7}." for n in range(40)]
    columns = {"prompt": "question", "completion": "answer"}
    data = "\n".join(["question,answer", *rows]).encode()
    mapped = place.job(place.file(data, "sums.csv", columns=columns), {"epochs": 1})
    assert place.run(mapped) == "succeeded", job_of(place.database, mapped).error
    unmapped = place.job(place.file(data, "sums.csv"), {"epochs": 1})
    assert place.run(unmapped) == "failed"


def test_an_attempt_that_was_taken_over_writes_nothing(place: Place) -> None:
    job_id = place.job()

    def take_over(reporter: Reporter) -> None:
        Queue(place.database).put_back(
            work_of(place.database, job_id), "lost", crashed=True, pause_s=0
        )
        claimed(place.database, job_id)
        until(lambda: reporter.superseded)

    with pytest.raises(SupersededError):
        place.run(job_id, {2: take_over})
    row = job_of(place.database, job_id)
    assert (row.status, row.attempts, row.adapter_id) == ("running", 2, None)
    assert place.rows(Adapter) == place.rows(FineTuningCheckpoint) == []
    assert messages(place.database, job_id)[-1] == "lost"


def test_an_attempt_that_never_counted_does_not_begin(place: Place) -> None:
    job_id = place.job()
    claimed(place.database, job_id)
    with pytest.raises(SupersededError):
        jobs.run_queued_job(place.settings, job_id, 2, lambda: None)
    assert not (place.settings.runs_folder / job_id).exists()


def test_records_that_are_away_at_the_end_cost_no_step(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    job_id = place.job()
    write = Attempt.write

    def away(self: Attempt, changes: dict[str, Any], *records: Any) -> None:
        if changes.get("status") == "succeeded":
            raise DatabaseError("The records are away.")
        write(self, changes, *records)

    with monkeypatch.context() as patch:
        patch.setattr(Attempt, "write", away)
        with pytest.raises(DatabaseError):
            place.run(job_id)
    assert job_of(place.database, job_id).status == "running"
    Queue(place.database).put_back(work_of(place.database, job_id), "lost", crashed=True, pause_s=0)
    assert place.run(job_id) == "succeeded"
    assert len(place.losses(job_id)) == 12
    row = job_of(place.database, job_id)
    assert (row.crashes, row.attempts) == (0, 2)
    assert row.adapter_id == place.rows(FineTuningCheckpoint)[-1].adapter_id


@pytest.mark.parametrize("adapter", [{"rank": 4}, {"kind": "full"}])
def test_crashes_are_counted_anew_after_a_checkpoint_that_is_new(
    place: Place, adapter: dict[str, Any]
) -> None:
    training = {"adapter": adapter, "optimizer": {"learning_rate": 1e-3}}
    job_id = place.job(training=training, crashes=2)

    def crash(_reporter: Reporter) -> None:
        raise RuntimeError("a bug")

    with pytest.raises(RuntimeError):
        place.run(job_id, {3: crash})
    assert job_of(place.database, job_id).crashes == 2
    Queue(place.database).put_back(
        work_of(place.database, job_id), "lost", crashed=False, pause_s=0
    )
    with pytest.raises(RuntimeError):
        place.run(job_id, {5: crash})
    assert job_of(place.database, job_id).crashes == 0
    Queue(place.database).put_back(work_of(place.database, job_id), "lost", crashed=True, pause_s=0)
    with pytest.raises(RuntimeError):
        place.run(job_id, {6: crash})  # after the checkpoint of the attempt before
    assert job_of(place.database, job_id).crashes == 1
