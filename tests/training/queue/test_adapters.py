"""Which checkpoints of a run become adapter versions, and when."""

import json
import shutil
from pathlib import Path

import pytest

from cluster.ids import DEFAULT_PROJECT
from cluster.records import Adapter, FineTuningCheckpoint
from cluster.storage import ByteStore
from tests.training.tiny import chats, tiny_chat_folder
from training.errors import CheckpointError
from training.in_process import kept_checkpoints, train_in_process
from training.preflight import prepare_run
from training.queue.adapters import AdapterSource, CheckpointShelf, base_revision
from training.recording import Recorder
from training.settings import TrainingSettings
from training.trainer import checkpoint_folder, reported_checkpoints


@pytest.fixture(scope="module")
def trained(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """The folder of a run of four steps with a checkpoint at each."""
    place = tmp_path_factory.mktemp("trained")
    tiny_chat_folder(place / "model")
    settings = TrainingSettings.model_validate(
        {
            "name": "run",
            "model": str(place / "model"),
            "data": {"train": "data.jsonl", "validation_share": 0.2},
            "batch": {"examples": 8, "max_tokens": 256, "row_tokens": 256},
            "validation": {"every_steps": 2},
            "checkpoint_every": 1,
            "checkpoints_kept": 4,
            "workers": {"min": 0, "max": 0, "threads": 1},
            "output": str(place),
        }
    )
    run = prepare_run(settings, place / "cache", read=lambda _path, _columns: chats(40))
    with Recorder(settings.folder) as recorder:
        train_in_process(run, recorder.add, lambda: False)
    return settings.folder


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    made = tmp_path / "run"
    made.mkdir()
    return made


@pytest.fixture
def shelf(trained: Path, folder: Path, tmp_path: Path) -> CheckpointShelf:
    source = AdapterSource(
        project_id=DEFAULT_PROJECT,
        job_id="ftjob-1",
        base="tiny",
        source="packaged:tiny",
        base_folder=trained.parent / "model",
        base_revision="0" * 64,
        kind="lora",
        suffix="s",
        lineage={"seed": 0},
    )
    return CheckpointShelf(ByteStore(f"file://{tmp_path / 'bytes'}"), folder, source)


def place_of(folder: Path, step: int, *, on_ray: bool) -> Path:
    if on_ray:
        return checkpoint_folder(folder / f"checkpoint_2026-01-01_00-00-0{step}.000001")
    return folder / "checkpoints" / f"checkpoint-{step}"


def put(trained: Path, folder: Path, step: int, *, on_ray: bool) -> Path:
    """Bring a checkpoint of the run into `folder`."""
    place = place_of(folder, step, on_ray=on_ray)
    shutil.copytree(trained / "checkpoints" / f"checkpoint-{step}", place)
    return place


def steps(records: list[object]) -> list[int]:
    return [record.step for record in records if isinstance(record, FineTuningCheckpoint)]


@pytest.mark.parametrize("on_ray", [True, False])
def test_each_checkpoint_is_registered_once(
    trained: Path, folder: Path, shelf: CheckpointShelf, on_ray: bool
) -> None:
    shutil.copy(trained / "metrics.jsonl", folder)
    assert shelf.look() == []
    put(trained, folder, 1, on_ray=on_ray)
    put(trained, folder, 2, on_ray=on_ray)
    first = shelf.look()
    assert steps(first) == [1, 2]
    assert [type(record) for record in first] == [Adapter, FineTuningCheckpoint] * 2
    assert shelf.look() == []
    place = put(trained, folder, 3, on_ray=on_ray)
    shutil.rmtree(place_of(folder, 1, on_ray=on_ray))
    assert steps(shelf.look()) == [3]
    adapter, checkpoint = shelf.records(place)
    assert (adapter.id, adapter.kind) == (checkpoint.adapter_id, "lora")
    assert adapter.id.startswith("ft:tiny:s:")
    assert adapter.lineage == {"seed": 0, "job": "ftjob-1", "step": 3}
    assert sorted(path.name for path in folder.iterdir() if path.name.startswith(".")) == []


def test_checkpoints_are_listed_in_the_order_of_their_steps(
    trained: Path, folder: Path, shelf: CheckpointShelf
) -> None:
    for step in (4, 2, 1, 3):
        put(trained, folder, step, on_ray=False)
    shelf.look()
    rows = [row for row in shelf.look() if isinstance(row, FineTuningCheckpoint)]
    by_id = sorted(rows, key=lambda row: row.id)
    assert [row.step for row in by_id] == [1, 2, 3, 4]
    assert len({row.adapter_id for row in rows}) == 4


def test_a_checkpoint_carries_what_was_told_of_its_step(
    trained: Path, folder: Path, shelf: CheckpointShelf
) -> None:
    told = [json.loads(line) for line in (trained / "metrics.jsonl").read_text().splitlines()]
    shutil.copy(trained / "metrics.jsonl", folder)
    for step in (3, 4):
        _adapter, checkpoint = shelf.records(put(trained, folder, step, on_ray=True))
        train, *validation = [line for line in told if line["step"] == step]
        metrics = checkpoint.metrics
        assert metrics["train_loss"] == train["loss"]
        assert metrics["train_mean_token_accuracy"] == train["accuracy"]
        assert metrics.get("full_valid_loss") == (validation[0]["loss"] if validation else None)
        assert metrics["best_step"] in {2, 4}
        assert metrics["tokens"] == sum(
            line["tokens"] for line in told if line["kind"] == "train" and line["step"] <= step
        )


def test_a_checkpoint_waits_one_look_for_the_news_of_its_step(
    trained: Path, folder: Path, shelf: CheckpointShelf
) -> None:
    put(trained, folder, 1, on_ray=True)
    assert shelf.look() == []
    shutil.copy(trained / "metrics.jsonl", folder)
    (_adapter, checkpoint) = shelf.look()
    assert "train_loss" in checkpoint.metrics


def test_news_that_never_come_are_not_waited_for(
    trained: Path, folder: Path, shelf: CheckpointShelf
) -> None:
    put(trained, folder, 1, on_ray=True)
    assert shelf.look() == []
    assert steps(shelf.look()) == [1]


@pytest.mark.parametrize("missing", ["state.json", "weights.safetensors"])
def test_a_checkpoint_that_is_still_copied_is_taken_when_it_is_whole(
    trained: Path, folder: Path, shelf: CheckpointShelf, missing: str
) -> None:
    shutil.copy(trained / "metrics.jsonl", folder)
    place = put(trained, folder, 1, on_ray=True)
    (place / missing).rename(folder / missing)
    assert shelf.look() == []
    (folder / missing).rename(place / missing)
    assert steps(shelf.look()) == [1]


def test_the_last_checkpoint_of_a_run_must_be_whole(
    trained: Path, folder: Path, shelf: CheckpointShelf
) -> None:
    place = put(trained, folder, 1, on_ray=True)
    (place / "adapter" / "adapter_model.safetensors").write_bytes(b"other")
    with pytest.raises(CheckpointError, match="is not what was written"):
        shelf.records(place)


def test_only_checkpoints_are_looked_at(folder: Path) -> None:
    for name in (
        "checkpoint_manager_snapshot.json",
        "checkpoints/.checkpoint-3.part-x",
        "checkpoints/checkpoint-x",
    ):
        (folder / name).mkdir(parents=True)
    assert reported_checkpoints(folder) == kept_checkpoints(folder) == []
    for step in (10, 9):
        (folder / "checkpoints" / f"checkpoint-{step}").mkdir()
    assert [path.name for path in kept_checkpoints(folder)] == ["checkpoint-9", "checkpoint-10"]


def test_a_revision_follows_what_makes_the_model(trained: Path, tmp_path: Path) -> None:
    model = tmp_path / "model"
    shutil.copytree(trained.parent / "model", model)
    before = base_revision(model)
    assert before == base_revision(trained.parent / "model")
    (model / "everloop-manifest.json").write_text("{}")
    (model / "notes.txt").write_text("read me")
    assert base_revision(model) == before
    (model / "config.json").write_text((model / "config.json").read_text() + "\n")
    assert base_revision(model) != before
