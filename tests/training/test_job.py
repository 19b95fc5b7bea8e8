"""`python -m training.job` in this process: from a YAML file to an adapter and a report."""

import json
import os
import signal
from pathlib import Path
from typing import Any

import pytest
import yaml

from tests.training.tiny import chats, tiny_chat_folder
from training import job
from training.progress import News, StepDone
from training.terminal import Terminal


@pytest.fixture(scope="module")
def folder(tmp_path_factory: pytest.TempPathFactory) -> Path:
    return tiny_chat_folder(tmp_path_factory.mktemp("tiny"))


def config(folder: Path, place: Path, **changes: Any) -> str:
    settings = {
        "name": "sums",
        "model": str(folder),
        "data": {"train": "data.jsonl", "validation_share": 0.2},
        "batch": {"examples": 8, "max_tokens": 256, "row_tokens": 256},
        "optimizer": {"learning_rate": 1e-2},
        "epochs": 3,
        "workers": {"min": 0, "max": 0, "threads": 1},
        "output": str(place / "runs"),
        **changes,
    }
    rows = [json.dumps({"messages": chat.messages}) for chat in chats(40)]
    (place / "data.jsonl").write_text("\n".join(rows))
    path = place / "job.yaml"
    path.write_text(yaml.safe_dump(settings))
    return str(path)


def lines(run: Path) -> list[dict[str, Any]]:
    return [json.loads(line) for line in (run / "metrics.jsonl").read_text().splitlines()]


def test_a_run_leaves_an_adapter_a_report_and_its_metrics(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    assert job.main(["--config", config(folder, tmp_path), "--json"]) == 0
    run = tmp_path / "runs" / "sums"
    report = json.loads((run / "report.json").read_text())
    assert json.loads(capsys.readouterr().out) == report
    assert (report["ending"], report["steps_taken"], report["steps"]) == ("finished", 12, 12)
    losses = [line["loss"] for line in lines(run) if line["kind"] == "train"]
    assert len(losses) == 12
    assert losses[-1] < losses[0] - 0.5
    assert [v["step"] for v in report["validations"]] == [4, 8, 12]
    assert report["tokens_per_s"] > 0
    assert any((run / "tensorboard").iterdir())
    page = (run / "report.html").read_text()
    assert page.count("<svg") == 2
    assert "32 to train on, 8 to validate" in page

    base = AutoModelForCausalLM.from_pretrained(folder)
    ids = torch.arange(9)[None]
    before = base(ids).logits
    trained = PeftModel.from_pretrained(base, run / "adapter")(ids).logits
    assert not torch.allclose(before, trained, atol=1e-2)
    adapter = json.loads((run / "adapter" / "adapter_config.json").read_text())
    assert adapter["base_model_name_or_path"] == str(folder)


def test_a_curated_run_leaves_its_receipt_and_says_its_counts(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    curation = {"lengths": {"max_characters": 19}, "split": {"validation_share": 0.2}}
    path = config(folder, tmp_path, data={"train": "data.jsonl", "curation": curation}, epochs=1)
    rows = (tmp_path / "data.jsonl").read_text().splitlines()
    (tmp_path / "data.jsonl").write_text("\n".join([*rows, rows[3]]))
    assert job.main(["--config", path]) == 0
    run = tmp_path / "runs" / "sums"
    receipt = json.loads((run / "receipt.json").read_text())
    report = json.loads((run / "report.json").read_text())
    out, err = capsys.readouterr()
    kept = receipt["train_rows"]
    assert report["curation"]["rows"] == receipt["rows"] == 41
    assert report["samples"] == {"train": kept, "validation": receipt["validation_rows"]}
    assert 0 < kept < 40
    for text in (err, out):
        said = " ".join(text.split())
        assert "curated: 41 rows, 1 removed by exact duplicates" in said
        assert f"{kept} to train on" in said


def test_all_weights_are_written_as_a_model_folder(folder: Path, tmp_path: Path) -> None:
    from transformers import AutoModelForCausalLM, AutoTokenizer

    changes = {"adapter": {"kind": "full"}, "optimizer": {"learning_rate": 1e-3}, "epochs": 1}
    assert job.main(["--config", config(folder, tmp_path, **changes)]) == 0
    model = tmp_path / "runs" / "sums" / "model"
    before = AutoModelForCausalLM.from_pretrained(folder).state_dict()
    after = AutoModelForCausalLM.from_pretrained(model).state_dict()
    assert all(not weights.equal(after[name]) for name, weights in before.items())
    assert AutoTokenizer.from_pretrained(model).chat_template


def test_ctrl_c_leaves_a_usable_checkpoint_and_the_same_command_goes_on(
    folder: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    whole = config(folder, tmp_path, output=str(tmp_path / "whole"))
    assert job.main(["--config", whole]) == 0
    expected = [line["loss"] for line in lines(tmp_path / "whole" / "sums")]

    class Interrupting(Terminal):
        def show(self, news: News) -> None:
            if isinstance(news, StepDone) and news.step == 5:
                os.kill(os.getpid(), signal.SIGINT)
            super().show(news)

    path = config(folder, tmp_path)
    with monkeypatch.context() as patch:
        patch.setattr(job, "Terminal", Interrupting)
        assert job.main(["--config", path]) == 130
    run = tmp_path / "runs" / "sums"
    assert json.loads((run / "report.json").read_text())["ending"] == "stopped"
    assert (run / "adapter" / "adapter_model.safetensors").is_file()
    assert "The same command goes on" in capsys.readouterr().out
    assert signal.getsignal(signal.SIGINT) is signal.default_int_handler

    assert job.main(["--config", path]) == 0
    assert [line["loss"] for line in lines(run)] == pytest.approx(expected, abs=1e-5)
    kept = sorted(path.name for path in (run / "checkpoints").iterdir())
    assert kept == ["checkpoint-12", "checkpoint-8"]


def test_early_stopping_gives_the_best_weights(folder: Path, tmp_path: Path) -> None:
    from safetensors.torch import load_file

    changes = {
        "epochs": 60,
        "optimizer": {"learning_rate": 5e-2},
        "validation": {"patience": 2, "every_steps": 2},
    }
    assert job.main(["--config", config(folder, tmp_path, **changes)]) == 0
    run = tmp_path / "runs" / "sums"
    report = json.loads((run / "report.json").read_text())
    assert report["ending"] == "early_stopping"
    assert min(report["validations"], key=lambda v: v["loss"])["best"]
    checkpoint = Path(report["checkpoint"])
    best = load_file(checkpoint / "best.safetensors")
    served = load_file(run / "adapter" / "adapter_model.safetensors")
    last = load_file(checkpoint / "weights.safetensors")
    for name, weights in served.items():
        inner = name.replace(".weight", ".default.weight")
        assert weights.equal(best[inner])
        assert not weights.equal(last[inner])


def test_a_config_that_cannot_work_is_exit_status_2(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(folder, tmp_path, batch={"max_tokens": 2000})
    assert job.main(["--config", path]) == 2
    assert "context of 512 tokens" in capsys.readouterr().err
    assert not (tmp_path / "runs").exists()


def test_a_fault_in_the_data_is_exit_status_2(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    path = config(folder, tmp_path)
    (tmp_path / "data.jsonl").write_text('{"messages": []}\n')
    assert job.main(["--config", path]) == 2
    assert "line 1, messages" in capsys.readouterr().err


def test_a_loss_that_is_no_number_is_exit_status_1(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    changes = {"optimizer": {"learning_rate": 1e30, "warmup_share": 0}, "adapter": {"kind": "full"}}
    assert job.main(["--config", config(folder, tmp_path, **changes)]) == 1
    assert "Lower `optimizer.learning_rate`" in capsys.readouterr().err


def test_another_runs_checkpoints_are_not_gone_on_from(
    folder: Path, tmp_path: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert job.main(["--config", config(folder, tmp_path, epochs=1)]) == 0
    assert job.main(["--config", config(folder, tmp_path, epochs=2)]) == 1
    assert "start a run of another name" in capsys.readouterr().err
