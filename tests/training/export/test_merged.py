"""A merged folder answers as base and adapter do, and is a folder like any other."""

import json
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM, AutoTokenizer

from tests.training.export.making import adapter_folder, base_folder, logits
from tests.training.tiny import tiny_chat_folder, tiny_folder
from training.adapters import Kind
from training.errors import ExportError
from training.export.lineage import read_lineage
from training.export.merged import Dtype, merge_adapter
from training.export.source import Adapter, resolve_adapter


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return base_folder(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Adapter:
    return resolve_adapter(str(adapter_folder(tmp_path_factory.mktemp("adapter"), base)))


@pytest.mark.parametrize("kind", ["lora", "rslora", "dora", "qlora"])
def test_logits_are_those_of_base_and_adapter(base: Path, tmp_path: Path, kind: Kind) -> None:
    folder = adapter_folder(tmp_path / "adapter", base, kind)
    merge_adapter(resolve_adapter(str(folder)), base, tmp_path / "merged")
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    before = logits(plain)
    expected = logits(PeftModel.from_pretrained(plain, folder))
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "merged", dtype="auto")
    assert (expected - before).abs().max() > 0.01, "the adapter moves nothing"
    torch.testing.assert_close(logits(merged), expected, atol=1e-4, rtol=0)


def test_the_folder_has_what_a_hub_folder_has(base: Path, adapter: Adapter, tmp_path: Path) -> None:
    merge_adapter(adapter, base, tmp_path / "merged")
    model = AutoModelForCausalLM.from_pretrained(tmp_path / "merged")
    assert model.generation_config.max_new_tokens == 7
    of_base = AutoTokenizer.from_pretrained(base)
    tokenizer = AutoTokenizer.from_pretrained(tmp_path / "merged")
    assert tokenizer.chat_template == of_base.chat_template
    chat = [{"role": "user", "content": "Grüße!"}]
    assert tokenizer.apply_chat_template(chat) == of_base.apply_chat_template(chat)
    modes = {path.name: path.stat().st_mode & 0o777 for path in (tmp_path / "merged").iterdir()}
    assert modes["model.safetensors"] == 0o644
    assert (tmp_path / "merged").stat().st_mode & 0o777 == 0o755


def test_a_tokenizer_beside_the_adapter_goes_first(
    base: Path, adapter: Adapter, tmp_path: Path
) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    for path in adapter.folder.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    tokenizer = AutoTokenizer.from_pretrained(base)
    tokenizer.chat_template = "{{ messages[0].content }}"
    tokenizer.save_pretrained(folder)
    merge_adapter(resolve_adapter(str(folder)), base, tmp_path / "merged")
    written = AutoTokenizer.from_pretrained(tmp_path / "merged")
    assert written.chat_template == "{{ messages[0].content }}"


@pytest.mark.parametrize("dtype", ["bfloat16", "float16"])
def test_only_the_sum_is_rounded(
    base: Path, adapter: Adapter, tmp_path: Path, dtype: Dtype
) -> None:
    merge_adapter(adapter, base, tmp_path / "whole")
    merge_adapter(adapter, base, tmp_path / "rounded", dtype=dtype)
    whole = AutoModelForCausalLM.from_pretrained(tmp_path / "whole").state_dict()
    rounded = AutoModelForCausalLM.from_pretrained(tmp_path / "rounded", dtype="auto").state_dict()
    held = getattr(torch, dtype)
    assert all(torch.equal(rounded[name], whole[name].to(held)) for name in whole)
    assert json.loads((tmp_path / "rounded" / "config.json").read_text())["dtype"] == dtype


def test_lineage_stands_beside_the_weights(base: Path, adapter: Adapter, tmp_path: Path) -> None:
    written = merge_adapter(adapter, base, tmp_path / "merged")
    assert read_lineage(tmp_path / "merged") == written
    assert (written.base, written.method, written.rank) == (str(base), "lora", 4)
    assert written.licence == "apache-2.0"
    assert len(written.adapter_sha256) == 64


def test_the_licence_of_a_packaged_base_is_known(adapter: Adapter, tmp_path: Path) -> None:
    bare = tiny_chat_folder(tmp_path / "base")
    assert merge_adapter(adapter, bare, tmp_path / "other").licence is None
    packaged = Adapter("a", adapter.folder, "packaged:smollm2-135m-instruct")
    assert merge_adapter(packaged, bare, tmp_path / "merged").licence == "apache-2.0"


@pytest.mark.parametrize(
    "changes",
    [{"hidden_size": 32}, {"num_hidden_layers": 3}, {"num_hidden_layers": 1}],
    ids=["narrower", "deeper", "shallower"],
)
def test_another_base_is_refused(
    base: Path, tmp_path: Path, changes: dict[str, object], tmp_path_factory: pytest.TempPathFactory
) -> None:
    made = adapter_folder(tmp_path_factory.mktemp("adapter"), base, targets=("q_proj", "up_proj"))
    adapter = resolve_adapter(str(made))
    other = tiny_folder(tmp_path / "other", vocab_size=320, **changes)
    with pytest.raises(ExportError, match=r"does not fit the base model.*--base"):
        merge_adapter(adapter, other, tmp_path / "merged")
    assert [path.name for path in tmp_path.iterdir()] == ["other"]


def test_what_is_there_is_replaced_only_when_forced(
    base: Path, adapter: Adapter, tmp_path: Path
) -> None:
    target = tmp_path / "merged"
    merge_adapter(adapter, base, target)
    (target / "old").touch()
    with pytest.raises(ExportError, match=r"is there already.*--force"):
        merge_adapter(adapter, base, target)
    merge_adapter(adapter, base, target, force=True)
    assert not (target / "old").exists()


def test_force_deletes_no_folder_that_holds_something_else(
    base: Path, adapter: Adapter, tmp_path: Path
) -> None:
    (tmp_path / "thesis.txt").write_text("all of it")
    with pytest.raises(ExportError, match="holds no model"):
        merge_adapter(adapter, base, tmp_path, force=True)
    assert (tmp_path / "thesis.txt").read_text() == "all of it"


def test_the_base_is_not_replaced_by_what_is_made_of_it(base: Path, adapter: Adapter) -> None:
    with pytest.raises(ExportError, match="is what the model is made from"):
        merge_adapter(adapter, base, base, force=True)


def test_a_failure_leaves_nothing(base: Path, adapter: Adapter, tmp_path: Path) -> None:
    broken = tmp_path / "base"
    broken.mkdir()
    for path in base.iterdir():
        if not path.name.startswith("tokenizer"):
            (broken / path.name).write_bytes(path.read_bytes())
    (broken / "tokenizer_config.json").write_text("{")
    with pytest.raises(ExportError, match="tokenizer"):
        merge_adapter(adapter, broken, tmp_path / "merged")
    assert [path.name for path in tmp_path.iterdir()] == ["base"]


def test_weights_out_of_range_are_refused(base: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file, save_file

    folder = adapter_folder(tmp_path / "adapter", base)
    weights = load_file(folder / "adapter_model.safetensors")
    save_file({n: w * 1000 for n, w in weights.items()}, folder / "adapter_model.safetensors")
    with pytest.raises(ExportError, match=r"no number in float16.*--dtype"):
        merge_adapter(resolve_adapter(str(folder)), base, tmp_path / "merged", dtype="float16")


def test_folders_that_hold_no_adapter_are_named(base: Path, tmp_path: Path) -> None:
    with pytest.raises(
        ExportError, match=r"adapter_config.json and adapter_model.safetensors miss"
    ):
        resolve_adapter(str(base))
    with pytest.raises(ExportError, match="does not exist"):
        resolve_adapter(str(tmp_path / "nowhere"))
    with pytest.raises(ExportError, match="no adapter 'banking'"):
        resolve_adapter("banking")
