"""What can be refused before any weight is read."""

from pathlib import Path

import pytest

from tests.training.tiny import Notes, samples, tiny_folder, tiny_loop
from training.adapters import AdapterPlan, adapted_modules, meta_model
from training.errors import PlanError
from training.loop import LoopPlan


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_folder(tmp_path_factory.mktemp("tiny"))


def count(folder: Path, plan: AdapterPlan) -> int:
    return len(adapted_modules(meta_model(folder), plan))


def test_all_linear_layers_but_the_head_are_counted(folder: Path) -> None:
    assert count(folder, AdapterPlan()) == 14


def test_targets_are_ends_of_names(folder: Path) -> None:
    assert count(folder, AdapterPlan(targets=("q_proj", "mlp.up_proj"))) == 4


def test_an_unknown_target_is_refused_with_those_there_are(folder: Path) -> None:
    with pytest.raises(PlanError, match=r"query_key_value.*down_proj, gate_proj.*'all-linear'"):
        count(folder, AdapterPlan(targets=("query_key_value", "q_proj")))


def test_a_folder_without_a_known_model_is_refused(tmp_path: Path) -> None:
    (tmp_path / "config.json").write_text('{"model_type": "nothing"}')
    with pytest.raises(PlanError, match="none that transformers can train"):
        count(tmp_path, AdapterPlan())


def test_four_bit_weights_are_trained_through(folder: Path) -> None:
    plan = LoopPlan(batch=8, epochs=4, learning_rate=1e-2)
    loop = tiny_loop(folder, samples(16), plan, adapter=AdapterPlan(kind="qlora", rank=4))
    assert loop.model.base_model.model.model.layers[0].mlp.up_proj.weight.dtype.itemsize == 1
    notes = Notes()
    loop.run(notes)
    assert notes.losses[-1] < notes.losses[0] - 0.3
