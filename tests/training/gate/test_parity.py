"""Trained, merged and served weights: equal where they are, and found out where they are not."""

import json
import shutil
from pathlib import Path

import pytest

from tests.training.gate.conftest import Weights
from tests.training.gate.serving import TinyService, labels
from training.errors import GateError
from training.examples import TextExample
from training.gate.evidence import Parity
from training.gate.items import Expected, held_out_set
from training.gate.local_weights import local_log_probabilities
from training.gate.parity import measure_parity
from training.gate.probes import FIXED
from training.gate.settings import Bounds
from training.tokens import ExampleTokenizer

BOUND = Bounds().parity


def _parity(
    weights: Weights, served: Path | None, adapter: Path | None, template: Path | None = None
) -> Parity:
    service = TinyService(weights.base, {"served": served}, template=template)
    items = held_out_set([*labels(2, 2), TextExample("1 + 1 = ", "2")]).items
    tokenizer = ExampleTokenizer.load(weights.base)
    return measure_parity(service, "served", items, tokenizer, weights.base, adapter)


def test_the_same_adapter_agrees_in_all_three_forms(weights: Weights) -> None:
    found = _parity(weights, weights.adapter, weights.adapter)
    assert found.served == 0.0
    assert found.merged is not None
    assert 0 < found.merged < 1e-4  # merging rounds otherwise
    assert found.adapter_effect is not None
    assert found.adapter_effect > 10 * BOUND
    assert (found.templates_checked, found.templates_differ) == (len(FIXED) + 2, 0)
    assert [probe.name for probe in found.probes][-3:] == ["item 1", "item 2", "item 3"]


@pytest.mark.parametrize("served", ["other", "base"])
def test_other_weights_in_service_are_found_out(weights: Weights, served: str) -> None:
    """Another adapter's, or the base without any."""
    folder = weights.other if served == "other" else None
    assert _parity(weights, folder, weights.adapter).served > 5 * BOUND


def test_a_slightly_damaged_adapter_is_found_out(weights: Weights, tmp_path: Path) -> None:
    """A wrong scale, as from an rsLoRA adapter that is served as a plain one."""
    damaged = tmp_path / "damaged"
    shutil.copytree(weights.adapter, damaged)
    config = json.loads((damaged / "adapter_config.json").read_text())
    (damaged / "adapter_config.json").write_text(json.dumps(config | {"use_rslora": True}))
    assert _parity(weights, damaged, weights.adapter).served > BOUND


def test_a_different_chat_template_is_found_out_and_shown(weights: Weights, tmp_path: Path) -> None:
    template = tmp_path / "template.jinja"
    template.write_text(
        "{% for m in messages %}<|im_start|>{{ m.role }}: {{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    found = _parity(weights, weights.adapter, weights.adapter, template)
    assert found.templates_differ == found.templates_checked == len(FIXED) + 2
    note = found.probes[0].template_note
    assert "'\\nWhat is' in training" in note
    assert "': What i' in service" in note
    assert found.probes[-1].same_template is None  # a text has none


def test_a_model_of_its_own_has_nothing_to_merge(weights: Weights) -> None:
    found = _parity(weights, None, None)
    assert (found.served, found.merged, found.adapter_effect) == (0.0, None, None)


def test_log_probabilities_are_those_of_a_plain_forward_pass(weights: Weights) -> None:
    import torch
    from transformers import AutoModelForCausalLM

    ids = [5, 9, 2, 7, 7, 1]
    model = AutoModelForCausalLM.from_pretrained(weights.base).eval()
    with torch.no_grad():
        logits = model(torch.tensor([ids])).logits[0].double()
    by_hand = [
        float(logits[at - 1, ids[at]] - torch.logsumexp(logits[at - 1], dim=0)) for at in (4, 5)
    ]
    (found,) = local_log_probabilities(weights.base, None, [Expected((5, 9, 2, 7), (7, 1))]).trained
    assert found == pytest.approx(by_hand, abs=1e-5)


def test_an_adapter_of_another_base_is_refused(weights: Weights, tmp_path: Path) -> None:
    with pytest.raises(GateError, match="does not fit its base"):
        local_log_probabilities(weights.base, tmp_path, [Expected((1,), (2,))])
    with pytest.raises(GateError, match="cannot be read"):
        local_log_probabilities(tmp_path, None, [Expected((1,), (2,))])


def test_a_number_that_is_none_is_no_agreement(weights: Weights) -> None:
    class Broken(TinyService):
        def log_probabilities(self, *_arguments: object) -> tuple[float, ...]:
            told = super().log_probabilities(*_arguments)  # type: ignore[arg-type]
            return (float("nan"), *told[1:])

    service = Broken(weights.base, {"served": None})
    tokenizer = ExampleTokenizer.load(weights.base)
    with pytest.raises(GateError, match="no finite number"):
        measure_parity(service, "served", (), tokenizer, weights.base, None)
