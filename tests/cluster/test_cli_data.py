"""`everloop data` over files, with a tiny model's tokenizer."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cluster.cli.app import app
from tests.training.data.samples import chat, jsonl, preference, said
from tests.training.tiny import tiny_chat_folder

QUESTION = chat(said("user", "2 + 2?"), said("assistant", "It is 4."))


@pytest.fixture(scope="module")
def model(tmp_path_factory: pytest.TempPathFactory) -> str:
    return str(tiny_chat_folder(tmp_path_factory.mktemp("tiny")))


@pytest.fixture(autouse=True)
def _own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERLOOP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("COLUMNS", "100")


def everloop(*arguments: str | Path) -> Result:
    return CliRunner().invoke(app, ["data", *map(str, arguments)])


def written(path: Path, *rows: Any) -> Path:
    path.write_bytes(jsonl(*rows).getvalue())
    return path


def test_inspect_shows_rows_lengths_and_what_carries_loss(tmp_path: Path, model: str) -> None:
    path = written(tmp_path / "t.jsonl", chat(), QUESTION)
    result = everloop("inspect", path, "--model", model, "--example", "2")
    assert result.exit_code == 0, result.output
    lines = result.stdout.splitlines()
    assert lines[0].startswith("2 rows: 2 conversations; 4 messages")
    assert "tokens, " in lines[1]
    assert any("█" in line for line in lines)
    assert "example 2 (line 2): 35 tokens, 9 of them with loss, in [[ ]]" in lines
    shown = "<|im_start|>user\n2 + 2?<|im_end|>\n<|im_start|>assistant\n[[It is 4.<|im_end|>]]\n"
    assert shown in result.stdout


def test_on_a_terminal_what_carries_loss_is_coloured(
    tmp_path: Path, model: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")
    monkeypatch.delenv("NO_COLOR", raising=False)
    monkeypatch.setenv("TERM", "xterm")
    result = everloop("inspect", written(tmp_path / "t.jsonl", QUESTION), "--model", model)
    assert "\x1b[4;32mIt is 4.<|im_end|>\x1b[0m" in result.stdout
    assert "[[" not in result.stdout.replace("\x1b[", "")


def test_inspect_lists_every_problem_and_exits_1(tmp_path: Path, model: str) -> None:
    path = written(tmp_path / "t.jsonl", "no JSON", QUESTION, chat(said("robot")), chat())
    result = everloop("inspect", path, "--model", model)
    assert result.exit_code == 1
    assert "2 rows: 2 conversations" in result.stdout
    said_problems = result.stdout.partition("problems\n")[2]
    assert [line.split()[0] for line in said_problems.splitlines()[1:]][:2] == ["1", "3"]
    assert "messages[0].role" in said_problems
    assert "example 1 (line 2)" in result.stdout


def test_a_row_that_the_template_refuses_is_a_problem_of_its_line(
    tmp_path: Path, model: str
) -> None:
    template = tmp_path / "refusing.jinja"
    template.write_text(
        "{% for m in messages %}{% if '4' in m.content %}{{ raise_exception('no 4') }}{% endif %}"
        "<|im_start|>{{ m.role }}\n{{ m.content }}<|im_end|>\n{% endfor %}"
        "{% if add_generation_prompt %}<|im_start|>assistant\n{% endif %}"
    )
    path = written(tmp_path / "t.jsonl", chat(), QUESTION)
    result = everloop("inspect", path, "--model", model, "--chat-template", template, "--json")
    assert result.exit_code == 1
    found = json.loads(result.stdout)
    assert [problem["line"] for problem in found["problems"]] == [2]
    assert "no 4" in found["problems"][0]["message"]
    assert found["summary"]["rows"] == 1


def test_inspect_as_json_has_the_same(tmp_path: Path, model: str) -> None:
    path = written(tmp_path / "t.jsonl", "", QUESTION)
    result = everloop("inspect", path, "--model", model, "--json")
    found = json.loads(result.stdout)
    assert (found["summary"]["rows"], found["problems"]) == (1, [])
    assert (found["lengths"]["total"], found["lengths"]["longest"]) == (35, 35)
    example = found["example"]
    assert (example["line"], example["tokens"], example["trained_tokens"]) == (2, 35, 9)
    ((pieces,),) = example["samples"]
    assert [piece["text"] for piece in pieces if piece["loss"]] == ["It is 4.<|im_end|>"]
    assert "".join(piece["text"] for piece in pieces).endswith("It is 4.<|im_end|>\n")


def test_both_outputs_of_a_pair_are_shown(tmp_path: Path, model: str) -> None:
    result = everloop("inspect", written(tmp_path / "t.jsonl", preference()), "--model", model)
    assert "the preferred output\n" in result.stdout
    assert "[[Hi!<|im_end|>]]" in result.stdout.partition("the other output")[0]
    assert "[[What?<|im_end|>]]" in result.stdout.partition("the other output")[2]


@pytest.mark.parametrize(
    "columns", ["prompt=q,completion=a", '{"prompt": "q", "completion": "a", "chat": false}']
)
def test_a_table_is_read_through_its_columns(tmp_path: Path, model: str, columns: str) -> None:
    path = tmp_path / "t.csv"
    path.write_text("q;a\n2 + 2?; It is 4.\n")
    result = everloop("inspect", path, "--columns", columns, "--model", model)
    assert result.exit_code == 0, result.output
    assert "1 rows: 1 completions" in result.stdout
    assert "2 + 2?[[ It is 4.<|im_end|>]]" in result.stdout


@pytest.mark.parametrize(
    ("option", "value", "message"),
    [
        ("--columns", "prompt", "has no ="),
        ("--columns", "prompt=q", "`completion`"),
        ("--example", "2", "the file has 1 good rows"),
    ],
)
def test_wrong_options_are_refused_with_exit_code_2(
    tmp_path: Path, model: str, option: str, value: str, message: str
) -> None:
    path = written(tmp_path / "t.jsonl", QUESTION)
    result = everloop("inspect", path, "--model", model, option, value)
    assert result.exit_code == 2
    assert message in " ".join(result.stderr.split())


def test_a_file_that_is_not_there_is_told(tmp_path: Path, model: str) -> None:
    result = everloop("inspect", tmp_path / "none.jsonl", "--model", model)
    assert result.exit_code == 1
    assert "cannot be read" in " ".join(result.stderr.split())


def test_curate_writes_both_sides_and_the_receipt(tmp_path: Path, model: str) -> None:
    asked = [f"What is {name}?" for name in ("a card", "my limit", "the fee", "an IBAN", "a loan")]
    rows = [chat(said("user", text), said("assistant", "A thing.")) for text in asked]
    path = written(tmp_path / "t.jsonl", *rows, rows[0], chat(said("user"), said("assistant", "!")))
    gate = written(tmp_path / "gate.jsonl", rows[4])
    plan = tmp_path / "stages.yaml"
    plan.write_text("lengths: {min_tokens: 36}\nsplit: {validation_share: 0.3}\n")
    out = tmp_path / "curated"
    result = everloop(
        *("curate", path, "--out", out, "--settings", plan, "--evaluation", gate),
        *("--model", model),
    )
    assert result.exit_code == 0, result.output
    stages = {line.split()[0]: line.split()[1:] for line in result.stdout.splitlines()}
    assert stages["lengths"][:5] == ["7", "6", "1", "fewer", "than"]
    assert stages["decontamination"][:2] == ["6", "5"]
    assert stages["exact_duplicates"][:2] == ["5", "4"]
    receipt = json.loads((out / "receipt.json").read_text())
    train = (out / "train.jsonl").read_text().splitlines()
    validation = (out / "validation.jsonl").read_text().splitlines()
    assert (receipt["train_rows"], receipt["validation_rows"]) == (len(train), len(validation))
    assert sorted([*map(json.loads, train), *map(json.loads, validation)], key=str) == sorted(
        rows[:4], key=str
    )
    again = everloop("inspect", out / "train.jsonl", "--model", model)
    assert again.exit_code == 0


def test_curate_refuses_a_stage_that_is_not_there(tmp_path: Path, model: str) -> None:
    plan = tmp_path / "stages.yaml"
    plan.write_text("deduplicate: true\n")
    path = written(tmp_path / "t.jsonl", QUESTION)
    result = everloop("curate", path, "--out", tmp_path, "--settings", plan, "--model", model)
    assert result.exit_code == 2
    assert "deduplicate" in result.stderr
