"""The estimate of a worker's memory: by hand, and against what a run really takes."""

from dataclasses import replace
from pathlib import Path

import pytest

from tests.training.tiny import Notes, document, tiny_folder
from training.adapters import AdapterPlan, Kind, adapted_modules, meta_model, prepare_model
from training.errors import PlanError
from training.loop import LoopPlan, TrainingLoop
from training.memory import GIB, MemoryPlan, ModelShape, Need, check_room, memory_need
from training.objectives import Supervised
from training.zero import ZeroPlan

FULL = ModelShape(
    parameters=1000,
    linear=800,
    adapter=0,
    layers=2,
    width=10,
    inner=20,
    projected=30,
    vocabulary=100,
)
LORA = replace(FULL, adapter=50)
PLAN = MemoryPlan(row_tokens=8, loss_tokens=2)
THREE = ZeroPlan(3)
ROW = 1024


@pytest.mark.parametrize(
    ("shape", "changes", "weights", "training"),
    [
        (FULL, {}, 4000, 12000),
        (FULL, {"bf16": True}, 6000, 12000),
        (LORA, {}, 4200, 600),
        (LORA, {"bf16": True}, 2200, 600),
        (LORA, {"four_bits": True}, 416 + 800 + 200, 600),
        (FULL, {"zero": ZeroPlan(1), "workers": 4}, 4000, 4000 + 12000 // 4),
        (FULL, {"zero": ZeroPlan(2), "workers": 4}, 4000, 1000 + 12000 // 4),
        (FULL, {"zero": THREE, "workers": 4}, 1000, 4000),
        (FULL, {"zero": THREE, "workers": 4, "bf16": True}, 500, 4000),
        (LORA, {"zero": THREE, "workers": 4}, 4200, 0),
        (FULL, {"zero": ZeroPlan(2, "cpu"), "workers": 4, "gpu": True}, 4000, 1000),
        (FULL, {"zero": ZeroPlan(2, "cpu"), "workers": 4}, 4000, 4000),
    ],
)
def test_weights_gradients_and_moments_by_where_they_lie(
    shape: ModelShape, changes: dict[str, object], weights: int, training: int
) -> None:
    need = memory_need(shape, replace(PLAN, **changes))  # type: ignore[arg-type]
    assert (need.weights, need.training) == (weights, training)


@pytest.mark.parametrize(
    ("changes", "activations"),
    [
        ({}, 8 * 4 * (2 + 2) * 270),
        ({"row_tokens": 16}, 16 * 4 * (2 + 2) * 270),
        ({"bf16": True}, 8 * 2 * (2 + 2) * 270),
        ({"checkpoint_activations": True}, 8 * 4 * (2 * 10 + (1 + 2) * 270)),
    ],
)
def test_activations_grow_with_the_row_and_shrink_when_computed_again(
    changes: dict[str, object], activations: int
) -> None:
    assert memory_need(LORA, replace(PLAN, **changes)).activations == activations  # type: ignore[arg-type]


def test_logits_are_counted_where_there_is_loss() -> None:
    assert memory_need(LORA, PLAN).logits == 4 * 4 * 2 * 100


def test_a_models_shape_is_read_without_its_weights(tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM

    folder = tiny_folder(tmp_path)
    plan = AdapterPlan(rank=4)
    outline = meta_model(folder)
    shape = ModelShape.of(outline, adapted_modules(outline, plan), plan)
    model = AutoModelForCausalLM.from_pretrained(folder)
    assert shape.parameters == model.num_parameters()
    trained = prepare_model(folder, plan, seed=0).get_nb_trainable_parameters()[0]
    assert shape.adapter == trained
    assert (shape.layers, shape.width, shape.inner, shape.projected) == (2, 64, 128, 128)


def test_what_does_not_fit_is_refused_with_what_to_lower() -> None:
    need = Need(process=GIB, weights=3 * GIB, training=GIB, activations=GIB, logits=0)
    check_room(need, 2, [6 * GIB, 7 * GIB], "the cluster", 2048)
    check_room(need, 2, [12 * GIB], "the cluster", 2048)
    with pytest.raises(PlanError, match=r"about 6\.0 GiB .*weights 3\.0.* has 5\.0 GiB") as caught:
        check_room(need, 1, [5 * GIB], "this machine", 2048)
    assert "Lower `batch.row_tokens` (now 2048)" in str(caught.value)
    with pytest.raises(PlanError, match="and 3 workers are asked for"):
        check_room(need, 3, [6 * GIB, 7 * GIB], "the cluster", 2048)


@pytest.mark.integration
@pytest.mark.parametrize(("kind", "again"), [("full", False), ("lora", True)])
def test_a_run_takes_about_what_was_reckoned(tmp_path: Path, kind: Kind, again: bool) -> None:
    from multiprocessing import get_context

    wide = {"hidden_size": 512, "intermediate_size": 1536, "vocab_size": 16384}
    folder = tiny_folder(tmp_path, num_hidden_layers=4, **wide)
    adapter = AdapterPlan(kind=kind, rank=8)
    outline = meta_model(folder)
    shape = ModelShape.of(outline, adapted_modules(outline, adapter), adapter)
    need = memory_need(shape, MemoryPlan(ROW, ROW // 4, checkpoint_activations=again))
    with get_context("spawn").Pool(1) as fresh:  # which holds nothing that it could use again
        taken = fresh.apply(_taken, (folder, adapter, again))
    reckoned = need.total - need.process
    assert reckoned / 2 < taken < reckoned * 2, (need, taken / GIB)


def _taken(folder: Path, adapter: AdapterPlan, again: bool) -> int:
    """By how many bytes this process grows in two steps of the model; needs Linux."""
    import peft  # noqa: F401 - so that it does not count
    import torch
    from transformers.models.llama import modeling_llama  # noqa: F401

    torch.set_num_threads(1)
    data = [(document(512, seed, answer=128),) for seed in range(ROW // 512)]
    before = _status("VmRSS")
    model = prepare_model(folder, adapter, seed=0, checkpoint_activations=again)
    loop = LoopPlan(batch=len(data), epochs=2, row_tokens=ROW)
    TrainingLoop(model, Supervised(), data, loop).run(Notes())
    return _status("VmHWM") - before


def _status(key: str) -> int:
    lines = Path("/proc/self/status").read_text().splitlines()
    (line,) = (line for line in lines if line.startswith(f"{key}:"))
    return int(line.split()[1]) * 1024
