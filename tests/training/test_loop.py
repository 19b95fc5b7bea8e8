"""The loop: what a step computes, and how a run ends."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.tiny import Notes, document, samples, tiny_folder, tiny_loop
from training.adapters import AdapterPlan
from training.errors import DivergedError, MemoryShortError
from training.loop import LoopPlan, TrainingLoop
from training.objectives import Objective, RowLoss, Supervised
from training.packing import Row
from training.tokens import Sample, Tokenized

PLAN = LoopPlan(batch=8, epochs=2, learning_rate=1e-2, warmup_share=0.1, row_tokens=64)
FULL = AdapterPlan(kind="full")


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("tiny"))


def run(loop: TrainingLoop, notes: Notes | None = None) -> Notes:
    notes = notes or Notes()
    loop.run(notes)
    return notes


def test_losses_of_a_seeded_run_are_the_recorded_ones(folder: Path) -> None:
    notes = run(tiny_loop(folder, samples(24), PLAN))
    assert notes.losses == pytest.approx(RECORDED, abs=1e-5)


RECORDED = [5.520332, 5.575682, 5.562297, 5.468247, 5.282318, 5.359782]


def test_a_steps_loss_and_gradient_are_those_of_transformers(folder: Path) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    data = samples(6)
    plan = replace(PLAN, batch=6, epochs=1, max_gradient_norm=1e9)
    (step,) = run(tiny_loop(folder, data, plan, adapter=FULL)).steps
    model = AutoModelForCausalLM.from_pretrained(folder)
    losses = []
    for (one,) in data:
        ids = torch.tensor(one.input_ids)
        logits = model(ids[None]).logits[0, :-1]
        carries = torch.tensor(one.loss)[1:] > 0
        losses.append(torch.nn.functional.cross_entropy(logits, ids[1:], reduction="none")[carries])
    mean = torch.cat(losses).mean()
    mean.backward()
    norm = torch.nn.utils.get_total_norm([p.grad for p in model.parameters()])
    assert step.loss == pytest.approx(mean.item(), abs=1e-5)
    assert step.gradient_norm == pytest.approx(float(norm), rel=1e-4)
    assert step.tokens == sum(len(one) for (one,) in data)
    assert step.trained_tokens == 18


@pytest.mark.parametrize("change", [{"row_tokens": 1}, {"packing": False}, {"row_tokens": 4096}])
def test_how_a_batch_is_packed_does_not_matter(folder: Path, change: dict[str, object]) -> None:
    data = samples(24)
    plain = run(tiny_loop(folder, data, PLAN)).losses
    other = run(tiny_loop(folder, data, replace(PLAN, **change))).losses  # type: ignore[arg-type]
    assert other == pytest.approx(plain, abs=1e-5)


def test_activation_checkpointing_changes_no_loss(folder: Path) -> None:
    from training.adapters import prepare_model

    data = samples(16)
    plain = run(tiny_loop(folder, data, PLAN)).losses
    model = prepare_model(folder, AdapterPlan(rank=4), seed=0, checkpoint_activations=True)
    assert model.is_gradient_checkpointing
    assert run(TrainingLoop(model, Supervised(), data, PLAN)).losses == pytest.approx(
        plain, abs=1e-5
    )


def test_a_tokens_weight_scales_its_part_of_the_mean(folder: Path) -> None:
    light, full = document(9, 1), document(9, 2)
    half = Tokenized(light.input_ids, tuple(weight * 0.5 for weight in light.loss))
    plan = replace(PLAN, batch=2, epochs=1)

    def loss(*data: Tokenized) -> float:
        return run(tiny_loop(folder, [(one,) for one in data], plan)).losses[0]

    expected = (0.5 * loss(light) + loss(full)) / 1.5
    assert loss(half, full) == pytest.approx(expected, abs=1e-5)


@pytest.mark.parametrize(
    ("kind", "rate"), [("lora", 1e-2), ("rslora", 3e-3), ("dora", 1e-2), ("full", 1e-2)]
)
def test_each_method_learns(folder: Path, kind: str, rate: float) -> None:
    adapter = AdapterPlan(kind=kind, rank=8)  # type: ignore[arg-type]
    plan = replace(PLAN, epochs=6, learning_rate=rate)
    notes = run(tiny_loop(folder, samples(32), plan, adapter=adapter))
    assert notes.losses[-1] < notes.losses[0] - 0.5


def test_only_the_adapter_is_trained(folder: Path) -> None:
    loop = tiny_loop(folder, samples(8), PLAN)
    assert loop.engine.trained
    assert all("lora_" in name for name in loop.engine.trained)
    # all linear layers of both blocks, two matrices each, and not the head
    assert len(loop.engine.trained) == 2 * 7 * 2


def test_a_preference_run_learns_to_tell_pairs_apart(folder: Path) -> None:
    def pair(seed: int) -> Sample:
        good = document(12, seed)
        bad = Tokenized((*good.input_ids[:-3], 1, 2, 3), good.loss)
        return good, bad

    plan = replace(PLAN, epochs=12, learning_rate=5e-3)
    notes = run(tiny_loop(folder, [pair(seed) for seed in range(16)], plan))
    assert notes.losses[0] == pytest.approx(0.693147, abs=1e-5)  # the reference is the model
    assert notes.steps[0].trained_tokens == 8
    assert notes.losses[-1] < 0.55
    assert notes.steps[-1].accuracy == 1.0


def test_validation_is_the_same_loss_without_a_step(folder: Path) -> None:
    data = samples(8)
    plan = replace(PLAN, epochs=1, batch=8, learning_rate=0.0)
    notes = run(tiny_loop(folder, data, plan, validation=data))
    (validated,) = notes.validations
    assert validated.loss == pytest.approx(notes.losses[0], abs=1e-5)


def test_early_stopping_ends_the_run_with_the_best_weights_at_hand(folder: Path) -> None:
    # A rate of 0 never improves after the first validation.
    plan = replace(PLAN, epochs=9, learning_rate=0.0, validate_every=1, patience=2)
    loop = tiny_loop(folder, samples(16), plan, validation=samples(4, seed=1))
    notes = Notes()
    assert loop.run(notes) == "early_stopping"
    assert [item.best for item in notes.validations] == [True, False, False]
    assert notes.checkpoints[-1] == 3
    name, kept = next(iter((loop.best or {}).items()))
    loop.engine.trained[name].data.add_(1.0)
    loop.engine.put(loop.best or {})
    assert loop.engine.trained[name].equal(kept)


def test_a_stop_between_rows_leaves_the_last_whole_step(folder: Path) -> None:
    class StopsInTheSecondStep(Notes):
        asked = 0

        def stop_wanted(self) -> bool:
            self.asked += bool(self.steps)
            return self.asked > 1

    notes = StopsInTheSecondStep()
    loop = tiny_loop(folder, samples(24), replace(PLAN, row_tokens=1))
    assert loop.run(notes) == "stopped"
    assert (len(notes.steps), loop.state.step, loop.state.cursor.drawn) == (1, 1, 8)
    assert notes.checkpoints == [1]
    assert all(parameter.grad is None for parameter in loop.engine.trained.values())


def test_a_loss_that_is_no_number_names_the_learning_rate(folder: Path) -> None:
    plan = replace(PLAN, learning_rate=1e30, warmup_share=0.0)
    with pytest.raises(DivergedError, match=r"Lower `optimizer\.learning_rate` \(now 1e\+30\)"):
        run(tiny_loop(folder, samples(24), plan, adapter=FULL))


def test_a_step_that_does_not_fit_says_what_to_change(folder: Path) -> None:
    class Greedy(Supervised):
        def __call__(self, model: object, row: Row) -> RowLoss:
            raise RuntimeError("DefaultCPUAllocator: can't allocate memory: you tried 10 TB")

    greedy: Objective = Greedy()
    with pytest.raises(MemoryShortError, match=r"Lower `batch\.row_tokens` \(now 64\)"):
        run(tiny_loop(folder, samples(8), PLAN, objective=greedy))


def test_a_run_ends_after_max_steps(folder: Path) -> None:
    notes = run(tiny_loop(folder, samples(24), replace(PLAN, max_steps=4)))
    assert [step.steps for step in notes.steps] == [4] * 4
    assert notes.checkpoints == [3, 4]
