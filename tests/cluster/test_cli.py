"""The command line against a stand-in of the API."""

import json
import resource
import subprocess
import sys
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cluster.cli.app import app
from cluster.cli.config import resolved_settings
from cluster.settings import resolve_settings
from tests.fakes.openai_api import FakeApi, running_fake_api

REFUSING = "http://127.0.0.1:9/v1"


@pytest.fixture
def api() -> Iterator[FakeApi]:
    with running_fake_api() as fake:
        yield fake


@pytest.fixture(autouse=True)
def _own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERLOOP_DATA_DIR", str(tmp_path / "data"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")
    monkeypatch.setattr("cluster.cli.uploading._POLL_S", 0.01)


def everloop(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    root = tmp_path / "docs"
    (root / "deep").mkdir(parents=True)
    (root / "a.md").write_text("# A")
    (root / "deep" / "b.txt").write_text("B")
    (root / "picture.png").write_bytes(b"\x89PNG")
    (root / ".hidden.md").write_text("no")
    return root


def test_help_takes_under_half_a_second() -> None:
    """Measured in processor time, which does not depend on what else the machine does."""
    spent = []
    for _attempt in range(3):
        before = resource.getrusage(resource.RUSAGE_CHILDREN)
        subprocess.run(
            [sys.executable, "-m", "cluster.cli", "--help"], check=True, stdout=subprocess.DEVNULL
        )
        after = resource.getrusage(resource.RUSAGE_CHILDREN)
        spent.append(after.ru_utime + after.ru_stime - before.ru_utime - before.ru_stime)
    assert min(spent) < 0.5


def test_help_imports_nothing_heavy() -> None:
    heavy = "import sys; import cluster.cli.app; print(*sys.modules)"
    run = subprocess.run([sys.executable, "-c", heavy], capture_output=True, text=True, check=True)
    loaded = {name.split(".")[0] for name in run.stdout.split()}
    assert not loaded & {"ray", "torch", "openai", "sqlalchemy", "pydantic", "transformers"}


def test_ingest_names_documents_by_their_path_in_the_folder(api: FakeApi, folder: Path) -> None:
    result = everloop("ingest", str(folder), "--store", "docs", "--base-url", api.url, "--json")
    assert result.exit_code == 0, result.output
    report = json.loads(result.stdout)
    assert report["counts"] == {"completed": 2}
    assert {d["source"] for d in report["documents"]} == {"a.md", "deep/b.txt"}
    assert report["skipped"] == [str(folder / "picture.png")]


def test_ingest_again_uploads_only_what_changed(api: FakeApi, folder: Path) -> None:
    arguments = ("ingest", str(folder), "--store", "docs", "--base-url", api.url, "--json")
    everloop(*arguments)
    assert json.loads(everloop(*arguments).stdout)["counts"] == {"unchanged": 2}
    (folder / "a.md").write_text("# A, second edition")
    counts = json.loads(everloop(*arguments).stdout)["counts"]
    assert counts == {"completed": 1, "unchanged": 1}
    assert api.uploads == 3
    assert len(api.stores) == 1


def test_ingest_reports_a_failure_and_keeps_the_rest(api: FakeApi, folder: Path) -> None:
    (folder / "bad.pdf").write_bytes(b"BROKEN")
    result = everloop("ingest", str(folder), "--store", "docs", "--base-url", api.url)
    assert result.exit_code == 4
    assert "2 completed, 1 failed" in result.stdout
    assert "this file is broken" in result.stdout


def test_ingest_of_only_failures_exits_1(api: FakeApi, tmp_path: Path) -> None:
    bad = tmp_path / "bad.pdf"
    bad.write_bytes(b"BROKEN")
    assert everloop("ingest", str(bad), "--store", "s", "--base-url", api.url).exit_code == 1


def test_ingest_refuses_two_documents_of_one_name(api: FakeApi, tmp_path: Path) -> None:
    for name in ("one", "two"):
        (tmp_path / name).mkdir()
        (tmp_path / name / "readme.md").write_text(name)
    paths = (str(tmp_path / "one"), str(tmp_path / "two"))
    result = everloop("ingest", *paths, "--store", "s", "--base-url", api.url)
    assert result.exit_code == 2
    assert api.uploads == 0


def test_ask_streams_the_answer_then_its_sources(api: FakeApi) -> None:
    api.post_store("docs")
    result = everloop("ask", "Which port?", "--store", "docs", "--base-url", api.url)
    assert result.exit_code == 0, result.output
    answer, _, sources = result.stdout.partition("Sources")
    assert "listens on port 8000." in answer
    assert "[1] guide.pdf, p. 3, Ports" in sources
    assert "listens on port 8000" in sources
    assert "Not supported by any document: The moon is cheese." in sources


def test_ask_as_json_writes_the_response_object_only(api: FakeApi) -> None:
    api.post_store("docs")
    result = everloop("ask", "Which port?", "--store", "docs", "--base-url", api.url, "--json")
    assert json.loads(result.stdout)["id"] == "resp_1"


def test_search_shows_score_place_and_passage(api: FakeApi) -> None:
    api.post_store("docs")
    result = everloop("search", "port", "--store", "docs", "--base-url", api.url)
    assert "0.750" in result.stdout
    assert "handbook/guide.pdf, p. 3" in result.stdout
    assert "It listens on port 8000." in result.stdout


def test_a_narrow_console_gets_narrow_lines(api: FakeApi, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "40")
    api.post_store("docs")
    result = everloop("search", "port", "--store", "docs", "--base-url", api.url)
    assert max(len(line) for line in result.stdout.splitlines()) <= 40
    assert "\x1b" not in result.stdout


def test_an_unknown_store_fails_and_names_those_there_are(api: FakeApi) -> None:
    api.post_store("docs")
    result = everloop("search", "port", "--store", "dogs", "--base-url", api.url)
    assert result.exit_code == 1
    assert "there are: docs" in result.stderr


@pytest.mark.parametrize("command", [["ask", "q"], ["search", "q"]])
def test_exit_3_where_nothing_answers(command: list[str]) -> None:
    result = everloop(*command, "--store", "docs", "--base-url", REFUSING)
    assert result.exit_code == 3
    assert "everloop up" in result.stderr


def test_exit_2_for_wrong_settings(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERLOOP_HTTP__PORT", "99999999")
    result = everloop("config")
    assert result.exit_code == 2
    assert "http.port" in result.stderr


def test_exit_130_at_ctrl_c(monkeypatch: pytest.MonkeyPatch) -> None:
    def interrupted(**_arguments: object) -> None:
        raise KeyboardInterrupt

    monkeypatch.setattr("cluster.cli.config.run_config", interrupted)
    assert everloop("config").exit_code == 130


def test_status_exits_3_when_nothing_runs(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERLOOP_HTTP__PORT", "9")
    result = everloop("status", "--json")
    assert result.exit_code == 3
    assert json.loads(result.stdout)["running"] is False


def test_config_says_where_a_value_came_from_and_masks_secrets() -> None:
    environment = {
        "EVERLOOP_HTTP__PORT": "8123",
        "EVERLOOP_DATABASE__URL": "postgresql://me:hidden@host/db",
        "EVERLOOP_MILVUS__TOKEN": "hidden",
        "EVERLOOP_STORAGE__OPTIONS": '{"key": "hidden", "secret": "hidden"}',
    }
    rows = {row[0]: row[1:] for row in resolved_settings(*resolve_settings(environ=environment))}
    assert rows["http.port"] == (8123, "environment")
    assert rows["http.host"] == ("127.0.0.1", "default")
    assert rows["models.0.max_context_tokens"] == (4096, "profile local")
    assert rows["embedding.batch_tokens"][0] == 4096
    assert rows["database.url"][0] == "postgresql://me:***@host/db"
    assert "hidden" not in json.dumps(rows)
