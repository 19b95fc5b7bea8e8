"""`everloop export` from the command line to files and the hub."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
import torch
from peft import PeftModel
from transformers import AutoModelForCausalLM
from typer.testing import CliRunner, Result

from cluster.cli.app import app
from tests.fakes.model_hub import TOKEN, FakeHub, running_fake_hub
from tests.training.export.making import adapter_folder, base_folder, logits
from tests.training.export.test_gguf_file import read_back
from training.export.hub import push


@pytest.fixture(scope="module")
def base(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return base_folder(tmp_path_factory.mktemp("base"))


@pytest.fixture(scope="module")
def adapter(tmp_path_factory: pytest.TempPathFactory, base: Path) -> Path:
    """As a training run leaves it."""
    run = tmp_path_factory.mktemp("run")
    folder = adapter_folder(run / "adapter", base)
    report = {"name": "banking", "weights": str(folder), "best_validation_loss": 0.25}
    (run / "report.json").write_text(json.dumps(report))
    return folder


@pytest.fixture
def hub(monkeypatch: pytest.MonkeyPatch) -> Iterator[FakeHub]:
    monkeypatch.setattr("huggingface_hub.constants.HF_HUB_DISABLE_XET", True)
    monkeypatch.setenv("ACME_TOKEN", TOKEN)
    with running_fake_hub() as fake:
        yield fake


@pytest.fixture(autouse=True)
def _own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERLOOP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "400")


def everloop(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["export", *map(str, arguments)])


def expected(base: Path, adapter: Path) -> torch.Tensor:
    plain = AutoModelForCausalLM.from_pretrained(base, dtype=torch.float32)
    return logits(PeftModel.from_pretrained(plain, adapter))


def test_a_merged_folder_is_the_default(base: Path, adapter: Path, tmp_path: Path) -> None:
    done = everloop(adapter, "--out", tmp_path / "m")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith(f"banking: {tmp_path / 'm'} (hf, ")
    assert f"merging banking into it\nwriting {tmp_path / 'm'}" in done.stderr
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    torch.testing.assert_close(logits(merged), expected(base, adapter), atol=1e-4, rtol=0)


def test_gguf_leaves_the_file_alone(base: Path, adapter: Path, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "m.gguf"
    done = everloop(adapter, "--to", "gguf", "--quantization", "f32", "--out", out, "--json")
    assert done.exit_code == 0, done.output
    report = json.loads(done.stdout)
    assert (report["name"], report["base"], report["form"]) == ("banking", str(base), "gguf")
    assert report["bytes"] == out.stat().st_size
    assert list(out.parent.iterdir()) == [out]
    torch.testing.assert_close(logits(read_back(out)), expected(base, adapter), atol=1e-4, rtol=0)


def test_a_whole_model_becomes_gguf_too(base: Path, tmp_path: Path) -> None:
    done = everloop(base, "--to", "gguf", "--out", tmp_path / "m.gguf")
    assert done.exit_code == 0, done.output
    assert (tmp_path / "m.gguf").stat().st_size > 100_000
    refused = everloop(base, "--to", "hf", "--out", tmp_path / "m")
    assert refused.exit_code == 1
    assert "a whole model already" in refused.stderr


def test_what_was_written_is_pushed(hub: FakeHub, adapter: Path, tmp_path: Path) -> None:
    options = (
        "--dtype",
        "bfloat16",
        "--push",
        f"{hub.url}/us/banking",
        "--token-env",
        "ACME_TOKEN",
    )
    done = everloop(adapter, "--out", tmp_path / "m", *options)
    assert done.exit_code == 0, done.output
    repo = hub.repos["us/banking"]
    assert f"pushed: {hub.url}/us/banking/commit/{repo.head}" in done.stdout
    assert repo.private
    assert repo.files["model.safetensors"] == (tmp_path / "m" / "model.safetensors").read_bytes()
    card = repo.files["README.md"].decode()
    assert "| validation_loss | 0.25 |" in card
    assert "license: apache-2.0" in card


def test_an_adapter_comes_from_a_hub(
    hub: FakeHub, base: Path, adapter: Path, tmp_path: Path
) -> None:
    push(adapter, f"{hub.url}/us/tuned", token=TOKEN)
    url = f"{hub.url}/us/tuned"
    done = everloop(url, "--base", base, "--out", tmp_path / "m", "--token-env", "ACME_TOKEN")
    assert done.exit_code == 0, done.output
    assert done.stdout.startswith("tuned: ")
    merged = AutoModelForCausalLM.from_pretrained(tmp_path / "m")
    torch.testing.assert_close(logits(merged), expected(base, adapter), atol=1e-4, rtol=0)


def test_what_is_there_is_replaced_only_when_forced(adapter: Path, tmp_path: Path) -> None:
    out = tmp_path / "m.gguf"
    out.write_text("mine")
    refused = everloop(adapter, "--to", "gguf", "--out", out)
    assert refused.exit_code == 1
    assert "is there already" in refused.stderr
    assert out.read_text() == "mine"
    assert everloop(adapter, "--to", "gguf", "--out", out, "--force").exit_code == 0
    assert out.read_bytes()[:4] == b"GGUF"


def test_failures_name_what_to_do(adapter: Path, tmp_path: Path) -> None:
    unknown = everloop("banking-v3", "--out", tmp_path / "m")
    assert unknown.exit_code == 1
    assert "There is no adapter 'banking-v3'" in unknown.stderr
    unset = everloop(adapter, "--out", tmp_path / "m", "--token-env", "NO_SUCH_TOKEN")
    assert unset.exit_code == 2
    assert "NO_SUCH_TOKEN is not set" in unset.stderr
    other = everloop(adapter, "--to", "gguf", "--dtype", "float16", "--out", tmp_path / "m")
    assert other.exit_code == 2
    assert "--dtype is of --to hf" in other.stderr
    target = everloop(adapter, "--out", tmp_path / "m", "--push", "nowhere")
    assert target.exit_code == 1
    assert "names no repository" in target.stderr
    assert not (tmp_path / "m").exists(), "refused before anything was written"


def test_an_adapter_without_a_base_asks_for_one(adapter: Path, tmp_path: Path) -> None:
    folder = tmp_path / "adapter"
    folder.mkdir()
    for path in adapter.iterdir():
        (folder / path.name).write_bytes(path.read_bytes())
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = None
    (folder / "adapter_config.json").write_text(json.dumps(config))
    done = everloop(folder, "--out", tmp_path / "m")
    assert done.exit_code == 1
    assert "--base" in done.stderr
