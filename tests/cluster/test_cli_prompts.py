"""`everloop prompts` against the real gateway."""

import json
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cluster.cli.app import app
from tests.fixtures.gateway import Gateway

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

FILE = """
name: greeting
description: Says hello.
variables: {name: {type: string}}
messages:
  - {role: user, content: "Hello {{ name }}!"}
"""


@pytest.fixture(autouse=True)
def _own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERLOOP_DATA_DIR", str(tmp_path / "own"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "160")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "greeting.yaml"
    path.write_text(FILE)
    return path


def prompts(gateway: Gateway, *arguments: str, code: int = 0) -> Result:
    """Run `everloop prompts` and hold its exit code against `code`."""
    done = CliRunner().invoke(app, ["prompts", *arguments, "--base-url", gateway.url])
    assert done.exit_code == code, done.output
    return done


def test_a_file_becomes_versions_and_a_label_follows(gateway: Gateway, file: Path) -> None:
    assert "No prompt yet" in prompts(gateway, "list").stdout
    first = prompts(gateway, "push", str(file), "--label", "production", "-m", "The first.")
    assert "made version 1, greeting@" in first.stdout
    assert "says nothing new: it is version 1" in prompts(gateway, "push", str(file)).stdout
    file.write_text(FILE.replace("Hello", "Good day"))
    assert "made version 2" in prompts(gateway, "push", str(file)).stdout
    assert "production 1" in prompts(gateway, "list").stdout

    difference = prompts(gateway, "diff", "greeting", "1").stdout.splitlines()
    assert {"-  content: Hello {{ name }}!", "+  content: Good day {{ name }}!"} <= set(difference)
    moved = prompts(gateway, "label", "greeting@2", "production", "--reason", "politer").stdout
    assert "production of greeting stands at 2, greeting@" in moved
    assert "(was at 1)" in moved
    shown = prompts(gateway, "show", "greeting").stdout
    assert "version 2 of 2" in shown
    assert "Good day {{ name }}!" in shown
    assert "The first." in shown

    assert "stands at 1" in prompts(gateway, "rollback", "greeting").stdout
    history = prompts(gateway, "history", "greeting").stdout
    assert [line.split()[0] for line in history.splitlines()[1:]] == [
        "rollback",
        "moved",
        "created",
    ]
    assert "politer" in history
    assert "is deleted" in prompts(gateway, "delete", "greeting").stdout


def test_a_version_is_written_to_a_file_and_read_again(
    gateway: Gateway, file: Path, tmp_path: Path
) -> None:
    prompts(gateway, "push", str(file))
    out = tmp_path / "langchain.json"
    assert str(out) in prompts(
        gateway, "pull", "greeting@1", "-o", str(out), "--format", "langchain"
    ).stdout.replace("\n", "")
    assert json.loads(out.read_text())["id"][-1] == "ChatPromptTemplate"
    again = prompts(gateway, "import", str(out), "--name", "greeting").stdout
    assert "says nothing new" in again
    assert "Hello {{ name }}!" in prompts(gateway, "pull", "greeting").stdout
    plain = tmp_path / "Short Note.md"
    plain.write_text("Note {{ x }}.")
    assert prompts(gateway, "import", str(plain)).stdout.startswith("short_note: made version 1")


def test_everything_is_said_as_json_too(gateway: Gateway, file: Path) -> None:
    made = json.loads(prompts(gateway, "push", str(file), "--json").stdout)
    assert made["version"]["number"] == 1
    commands = (
        ("list",),
        ("show", "greeting"),
        ("diff", "greeting", "1"),
        ("label", "greeting@1", "staging"),
        ("history", "greeting", "staging"),
        ("pull", "greeting"),
        ("delete", "greeting"),
    )
    for command in commands:
        assert json.loads(prompts(gateway, *command, "--json").stdout)["object"]


def test_errors_have_exit_codes_and_say_what_to_do(
    gateway: Gateway, file: Path, tmp_path: Path
) -> None:
    prompts(gateway, "push", str(file))
    missing = prompts(gateway, "show", "nothing", code=1).output
    assert "There are: greeting" in missing
    assert "everloop prompts list" in missing.replace("\n", " ")
    assert "cannot be read" in prompts(gateway, "push", str(tmp_path / "no.yaml"), code=2).output
    assert "NAME=VALUE" in prompts(gateway, "render", "greeting", "--set", "x", code=2).output
    file.write_text("name: greeting\nmessages: []")
    assert "messages" in prompts(gateway, "push", str(file), code=1).output
    stale = prompts(gateway, "label", "greeting@1", "production", "--expected", "4", code=1)
    assert "not at 4" in stale.output.replace("\n", " ")
