"""The loop on a real local Ray: killed workers, other numbers of them, and a stop."""

import json
import tempfile
import time
from collections.abc import Iterator
from contextlib import suppress
from dataclasses import replace
from pathlib import Path
from typing import Any

import psutil
import pytest

from tests.fixtures.ray_cluster import SharedRay
from tests.training.tiny import chats, tiny_chat_folder
from training import on_cluster
from training.board import BoardLink
from training.errors import DivergedError, PlanError
from training.in_process import train_in_process
from training.on_cluster import shortage, train_on_cluster
from training.preflight import PreparedRun, prepare_run
from training.progress import News, StepDone
from training.settings import TrainingSettings
from training.trainer import SCRATCH, build_trainer

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def place(shared_ray: SharedRay, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A folder with a tiny model, and a Ray to train on."""
    folder = tmp_path_factory.mktemp("train")
    tiny_chat_folder(folder / "model")
    with shared_ray.joined("trainer"):
        yield folder


def prepare(place: Path, name: str, **changes: Any) -> PreparedRun:
    settings = TrainingSettings.model_validate(
        {
            "name": name,
            "model": str(place / "model"),
            "data": {"train": "data.jsonl", "validation_share": 0.2},
            "batch": {"examples": 8, "max_tokens": 256, "row_tokens": 256},
            "optimizer": {"learning_rate": 2e-3},
            "epochs": 3,
            "checkpoint_every": 2,
            "workers": {"min": 1, "max": 1, "threads": 1},
            "output": str(place / "runs"),
            **changes,
        }
    )
    return prepare_run(settings, place / "cache", read=lambda _path, _columns: chats(40))


class Heard:
    """What the driver was told. `at_step` runs once, when that step is heard of."""

    def __init__(self, step: int = 0, at_step: Any = None) -> None:
        self.losses: dict[int, float] = {}
        self.workers: set[int] = set()
        self.steps: list[int] = []
        self.stopped = False
        self._step, self._at_step = step, at_step

    def __call__(self, news: News) -> None:
        if isinstance(news, StepDone):
            self.steps.append(news.step)
            self.losses[news.step] = news.loss
            self.workers.add(news.workers)
            if news.step == self._step and self._at_step is not None:
                self._at_step, act = None, self._at_step
                act()

    def stop(self) -> None:
        self.stopped = True


@pytest.fixture(scope="module")
def expected(place: Path) -> dict[int, float]:
    """Losses of the same run in this process, without a cluster."""
    heard = Heard()
    train_in_process(prepare(place, "alone"), heard, lambda: False)
    assert len(heard.losses) == 12
    return heard.losses


def worker_processes(shared_ray: SharedRay) -> list[psutil.Process]:
    """Processes of this Ray that run a training worker."""
    found = []
    for process in shared_ray.processes():
        with suppress(psutil.NoSuchProcess):  # it ended meanwhile
            if "RayTrainWorker" in " ".join(process.cmdline()):
                found.append(process)
    return found


def test_a_run_spread_over_workers_of_which_one_is_killed_is_the_run_without_a_cluster(
    place: Path, shared_ray: SharedRay
) -> None:
    def kill() -> None:
        victim, *others = worker_processes(shared_ray)
        assert len(others) == 1
        with suppress(psutil.NoSuchProcess):  # then nothing died by our hand, and we try anew
            victim.kill()

    # Long enough that the kill, sent when the driver hears of step 14, finds the worker at work; a
    # worker that dies at the very moment of a checkpoint takes no step again, so it may try anew.
    long: dict[str, Any] = {"epochs": 15, "checkpoint_every": 12}
    spread = {"workers": {"min": 2, "max": 2, "threads": 1}, "parallel": {"kind": "zero3"}}
    alone = Heard()
    train_in_process(prepare(place, "alone-long", **long), alone, lambda: False)
    leftover = Path(tempfile.mkdtemp(prefix=SCRATCH))  # of a worker killed at a checkpoint
    for attempt in range(3):
        heard = Heard(14, kill)
        outcome = train_on_cluster(
            prepare(place, f"killed-{attempt}", **long, **spread), heard, lambda: False
        )
        assert (outcome.ending, heard.workers) == ("finished", {2})
        assert heard.steps.count(1) == 1
        assert heard.losses == pytest.approx(alone.losses, abs=1e-5)
        assert (outcome.checkpoint / "adapter" / "adapter_model.safetensors").is_file()
        assert not leftover.exists()
        if len(heard.steps) > len(set(heard.steps)):
            return
    pytest.fail("no step was taken again: nothing died")


@pytest.mark.slow
def test_a_run_that_was_stopped_goes_on_with_another_number_of_workers(
    place: Path, expected: dict[int, float]
) -> None:
    first = Heard(5)
    first._at_step = first.stop
    outcome = train_on_cluster(prepare(place, "stopped"), first, lambda: first.stopped)
    assert outcome.ending == "stopped"
    state = json.loads((outcome.checkpoint / "state.json").read_text())["state"]
    assert state["step"] == len(first.losses) < 12

    second = Heard()
    two = prepare(place, "stopped", workers={"min": 2, "max": 2, "threads": 1})
    assert train_on_cluster(two, second, lambda: False).ending == "finished"
    assert (first.workers, second.workers) == ({1}, {2})
    assert min(second.losses) == state["step"] + 1
    assert {**first.losses, **second.losses} == pytest.approx(expected, abs=1e-5)


def test_the_trainer_is_asked_for_what_the_settings_say(place: Path) -> None:
    asked = {"min": 1, "max": 3, "cpus": 0.5, "max_failures": 7}
    run = prepare(place, "asked", workers=asked, checkpoints_kept=4)
    trainer = build_trainer(run.plan, run.workers, run.train, run.validation, None)
    assert trainer.scaling_config.num_workers == (1, 3)
    assert trainer.scaling_config.resources_per_worker == {"CPU": 0.5}
    assert trainer.run_config.failure_config.max_failures == 7
    assert trainer.run_config.checkpoint_config.num_to_keep == 4
    assert trainer.run_config.storage_path == str(place / "runs")


def test_a_run_that_has_no_room_says_what_is_free(place: Path) -> None:
    wide = prepare(place, "wide", workers={"min": 2, "max": 2, "cpus": 3})
    assert "asks for 6 CPU (2 x 3), and 2 of 2 are free" in str(shortage(wide))
    assert shortage(prepare(place, "narrow", workers={"min": 2, "max": 2, "cpus": 1})) is None


def test_a_run_that_no_machine_can_hold_is_refused(place: Path) -> None:
    run = prepare(place, "large")
    large = replace(run, need=replace(run.need, weights=1024**5))
    with pytest.raises(PlanError, match=r"weights 1048576\.0.*the largest machine of the cluster"):
        train_on_cluster(large, Heard(), lambda: False)


def test_what_a_worker_told_the_board_is_what_the_driver_raises(
    place: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    told = DivergedError("The loss is NaN.", fix="Lower `optimizer.learning_rate`.")

    class Failing:
        """What stands for Ray Train here: a worker fails, and its run ends without a result."""

        def __init__(self, board: Any) -> None:
            self._link = BoardLink(board, time.monotonic)

        def fit(self) -> None:
            self._link.fail(told)
            raise RuntimeError("1 worker failed")

    monkeypatch.setattr(on_cluster, "build_trainer", lambda *parts: Failing(parts[-1]))
    with pytest.raises(DivergedError) as caught:
        train_on_cluster(prepare(place, "told"), Heard(), lambda: False)
    assert (caught.value.message, caught.value.fix) == (told.message, told.fix)


@pytest.mark.slow  # a quarter of a minute for what the test above and the loop's own say in parts
def test_an_error_of_the_loop_reaches_the_driver_as_it_is(place: Path) -> None:
    changes = {"adapter": {"kind": "full"}, "optimizer": {"learning_rate": 1e30, "warmup_share": 0}}
    with pytest.raises(DivergedError, match=r"Lower `optimizer\.learning_rate`"):
        train_on_cluster(prepare(place, "diverged", **changes), Heard(), lambda: False)
