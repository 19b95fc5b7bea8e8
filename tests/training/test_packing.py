"""Rows hold each sample once, and documents in a row do not see each other."""

from pathlib import Path

import pytest

from tests.training.tiny import document, samples, tiny_folder
from training.adapters import AdapterPlan, prepare_model
from training.attention import check_packing, packing_arguments
from training.errors import PlanError
from training.packing import pack, row_of


def test_each_sample_travels_once_within_the_capacity() -> None:
    lengths = [5, 90, 33, 70, 61, 12, 40, 8, 99, 1]
    rows = pack(lengths, 100)
    assert sorted(i for row in rows for i in row) == list(range(10))
    assert all(sum(lengths[i] for i in row) <= 100 for row in rows)
    assert len(rows) == 5  # 419 tokens cannot take fewer


def test_a_sample_above_the_capacity_has_a_row_of_its_own() -> None:
    assert sorted(pack([150, 20, 30], 100)) == [[0], [2, 1]]


def test_positions_begin_anew_in_each_document() -> None:
    row = row_of([(document(4, 0),), (document(3, 1, answer=1),)])
    assert row.position_ids.tolist() == [[0, 1, 2, 0, 1]]  # nothing depends on the last tokens
    assert row.lengths == (4, 3)


def test_a_token_is_predicted_from_the_one_before_it() -> None:
    first, second = document(6, 0, answer=2), document(4, 1, answer=1)
    row = row_of([(first,), (second,)])
    assert row.predicting.tolist() == [3, 4, 7]
    assert row.labels.tolist() == [*first.input_ids[4:], second.input_ids[3]]
    assert row.documents.tolist() == [0, 0, 1]


@pytest.mark.parametrize("attention", ["everloop_documents", "sdpa", "eager"])
@pytest.mark.parametrize("window", [None, 4])
def test_packed_logits_equal_unpacked_ones(
    tmp_path: Path, attention: str, window: int | None
) -> None:
    import torch

    if window is None:
        folder = tiny_folder(tmp_path / "model")
    else:
        folder = mistral_folder(tmp_path / "model", window)
    model = prepare_model(folder, AdapterPlan(kind="full"), seed=0).eval()
    assert model.config._attn_implementation == "everloop_documents"
    model.set_attn_implementation(attention)
    data = samples(6)
    row = row_of(data)
    with torch.no_grad():
        packed = model(
            input_ids=row.input_ids,
            position_ids=row.position_ids,
            use_cache=False,
            **packing_arguments(row.stretches, model),
        ).logits[0]
        model.set_attn_implementation("eager")
        alone = [model(torch.tensor([list(s[0].input_ids)])).logits[0, :-1] for s in data]
    assert torch.allclose(packed, torch.cat(alone), atol=1e-5, rtol=0)


def mistral_folder(folder: Path, window: int) -> Path:
    """A tiny model whose tokens see `window` tokens back only."""
    import torch
    from transformers import MistralConfig, MistralForCausalLM

    torch.manual_seed(7)
    config = MistralConfig(
        vocab_size=256,
        hidden_size=64,
        intermediate_size=128,
        num_hidden_layers=2,
        num_attention_heads=4,
        num_key_value_heads=2,
        sliding_window=window,
    )
    MistralForCausalLM(config).save_pretrained(folder)
    return folder


def test_a_model_that_keeps_documents_apart_passes_the_check(tmp_path: Path) -> None:
    model = prepare_model(tiny_folder(tmp_path), AdapterPlan(), seed=0)
    check_packing(model, 256)
    assert model.config._attn_implementation == "everloop_documents"
    assert model.training


def test_a_model_that_does_not_is_refused(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    model = prepare_model(tiny_folder(tmp_path), AdapterPlan(), seed=0)
    monkeypatch.setattr("training.attention.packing_arguments", lambda _stretches, _model: {})
    with pytest.raises(PlanError, match=r"see each other.*batch\.packing: false"):
        check_packing(model, 256)
