"""A run that was cut in two is the run that was not."""

import json
import shutil
from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.tiny import Notes, Threaded, samples, tiny_folder, tiny_loop
from training.adapters import AdapterPlan, prepare_model
from training.checkpoint import read_checkpoint, write_checkpoint
from training.errors import CheckpointError
from training.loop import LoopPlan, TrainingLoop

PLAN = LoopPlan(
    batch=6, epochs=3, learning_rate=2e-3, row_tokens=64, validate_every=2, checkpoint_every=99
)
RUN = {"model": "tiny"}
DATA = samples(20)
HELD_OUT = samples(5, seed=1)


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("tiny"))


@pytest.fixture(scope="module")
def checkpoint(folder: Path, tmp_path_factory: pytest.TempPathFactory) -> Path:
    """After five steps of LoRA, in the middle of the second epoch."""
    place = tmp_path_factory.mktemp("run") / "checkpoint-5"
    loop = tiny_loop(folder, DATA, PLAN, validation=HELD_OUT)
    loop.run(Notes(stop_after=5, keep=lambda loop: write_checkpoint(loop, place, RUN)))
    return place


@pytest.mark.parametrize("kind", ["lora", "dora", "full"])
@pytest.mark.parametrize("dropout", [0.0, 0.2])
@pytest.mark.parametrize("cut", [1, 5])
def test_resumed_equals_uninterrupted(
    folder: Path, tmp_path: Path, kind: str, dropout: float, cut: int
) -> None:
    adapter = AdapterPlan(kind=kind, rank=4, dropout=dropout)  # type: ignore[arg-type]
    plan = replace(PLAN, patience=99)
    whole = Notes()
    tiny_loop(folder, DATA, plan, adapter=adapter, validation=HELD_OUT).run(whole)

    place = tmp_path / "checkpoint"
    first = Notes(stop_after=cut, keep=lambda loop: write_checkpoint(loop, place, RUN))
    tiny_loop(folder, DATA, plan, adapter=adapter, validation=HELD_OUT).run(first)
    loop = tiny_loop(folder, DATA, plan, adapter=adapter, validation=HELD_OUT)
    read_checkpoint(loop, place, RUN)
    second = Notes()
    loop.run(second)

    assert first.losses + second.losses == pytest.approx(whole.losses, abs=1e-5)
    resumed = [*first.validations, *second.validations]
    assert [v.best for v in resumed] == [v.best for v in whole.validations]
    assert [v.loss for v in resumed] == pytest.approx([v.loss for v in whole.validations], abs=1e-5)


@pytest.mark.parametrize(("before", "after"), [(1, 3), (3, 1)])
def test_resumed_with_another_number_of_workers_equals_uninterrupted(
    folder: Path, tmp_path: Path, before: int, after: int
) -> None:
    whole = Notes()
    tiny_loop(folder, DATA, PLAN, validation=HELD_OUT).run(whole)
    place = tmp_path / "checkpoint"

    def part(workers: Threaded, resume: bool) -> Notes:
        def keep(loop: TrainingLoop) -> None:
            if not resume:
                write_checkpoint(loop, place, RUN)

        models = [prepare_model(folder, AdapterPlan(rank=4), seed=n) for n in range(workers.size)]

        def work(rank: int) -> Notes:
            loop = tiny_loop(
                folder, DATA, PLAN, validation=HELD_OUT, workers=workers, model=models[rank]
            )
            if resume:
                read_checkpoint(loop, place, RUN)
            notes = Notes(stop_after=None if resume else 5, keep=keep)
            loop.run(notes)
            return notes

        first, *others = workers.run(work)
        assert all(other.losses == first.losses for other in others)
        return first

    losses = part(Threaded(before), resume=False).losses
    losses += part(Threaded(after), resume=True).losses
    assert losses == pytest.approx(whole.losses, abs=1e-5)


def test_a_checkpoint_holds_an_adapter_that_peft_loads(folder: Path, checkpoint: Path) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    loop = tiny_loop(folder, DATA, PLAN)
    read_checkpoint(loop, checkpoint, RUN)
    plain = AutoModelForCausalLM.from_pretrained(folder)
    ids = torch.tensor([list(DATA[0][0].input_ids)])
    untrained = plain(ids).logits
    loaded = PeftModel.from_pretrained(plain, checkpoint / "adapter")(ids).logits
    loop.model.eval()
    assert torch.allclose(loaded, loop.model(ids).logits, atol=1e-5)
    assert not torch.allclose(loaded, untrained, atol=1e-3)


def test_no_file_of_a_checkpoint_says_how_many_workers_there_were(checkpoint: Path) -> None:
    state = json.loads((checkpoint / "state.json").read_text())
    assert state["state"]["cursor"] == {"epoch": 1, "drawn": 6}
    assert sorted(p.name for p in checkpoint.iterdir()) == [
        "adapter",
        "optimizer.safetensors",
        "state.json",
        "weights.safetensors",
    ]


def test_a_write_that_fails_leaves_nothing_behind(
    folder: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_arguments: object) -> None:
        raise OSError("No space left on device")

    monkeypatch.setattr("training.checkpoint._save_adapter", full)
    with pytest.raises(OSError, match="No space"):
        write_checkpoint(tiny_loop(folder, DATA, PLAN), tmp_path / "run" / "checkpoint-1", RUN)
    assert list((tmp_path / "run").iterdir()) == []


@pytest.mark.parametrize(
    ("damage", "words"),
    [
        (lambda f: (f / "optimizer.safetensors").unlink(), "optimizer.safetensors is missing"),
        (lambda f: (f / "weights.safetensors").open("ab").write(b"x"), "not what was written"),
        (lambda f: (f / "state.json").write_text("{"), "state.json cannot be read"),
    ],
)
def test_a_damaged_checkpoint_is_refused(
    folder: Path, checkpoint: Path, tmp_path: Path, damage: "object", words: str
) -> None:
    copy = tmp_path / "checkpoint"
    shutil.copytree(checkpoint, copy)
    damage(copy)  # type: ignore[operator]
    with pytest.raises(CheckpointError, match=words):
        read_checkpoint(tiny_loop(folder, DATA, PLAN), copy, RUN)


def test_another_runs_checkpoint_is_refused(folder: Path, checkpoint: Path) -> None:
    with pytest.raises(CheckpointError, match="model = 'tiny', not 'other'"):
        read_checkpoint(tiny_loop(folder, DATA, PLAN), checkpoint, {"model": "other"})
