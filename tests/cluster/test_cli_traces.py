"""`everloop traces` against the real gateway, and what `everloop status` says of lost traces."""

import io
import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from rich.console import Console
from typer.testing import CliRunner, Result

from cluster.cli.app import app
from cluster.cli.status import print_status
from cluster.database import Database
from cluster.key_file import KeyFile, write_key_file
from cluster.launch.status import Status, lost_traces
from cluster.records import Feedback, Trace, TraceScore, now
from cluster.settings import AccessSettings, HttpSettings, Settings
from tests.fixtures.databases import database
from tests.fixtures.gateway import Gateway, running_gateway
from tests.fixtures.keys import add_key

__all__ = ["database"]

_ANSWER = "Ten days. Perhaps."


@pytest.fixture
def gateway(database: Database, tmp_path: Path) -> Iterator[Gateway]:
    """One with three traces: a grounded answer, a failure, a refusal."""
    passage = {"number": 1, "filename": "handbook.pdf", "text": "Ten days of leave.", "score": 0.91}
    grounded = {
        "input": {
            "messages": [{"role": "system", "content": "Be brief."}, {"role": "user"}],
            "options": {"temperature": 0.5},
            "cut_characters": 12,
        },
        "passages": [passage],
        "left_out": [{"filename": "old.pdf", "score": 0.2, "reason": "budget"}],
        "sentences": [
            {
                "start": 0,
                "end": 9,
                "supported": True,
                "checkable": True,
                "supports": [{"passage": 0, "score": 0.8, "method": "overlap"}],
            },
            {"start": 10, "end": 18, "supported": False, "checkable": True, "supports": []},
        ],
        "timings_ms": {
            "retrieve": 20.0,
            "retrieve_embed": 8.0,
            "generate": 60.0,
            "model_first_token": 12.0,
        },
        "began_ms": {"retrieve": 1.0, "generate": 30.0},
    }
    common: dict[str, Any] = {"route": "/v1/responses", "created_at": now() - 60}
    with database.session() as session:
        session.add_all(
            [
                Trace(
                    id="trace_1",
                    request_id="req_1",
                    status=200,
                    model="ft:one",
                    alias="assistant",
                    question="How long is leave?",
                    answer=_ANSWER,
                    prompt_tokens=50,
                    completion_tokens=5,
                    cost=0.25,
                    body=grounded,
                    duration_ms=100.0,
                    **common,
                ),
                Trace(
                    id="trace_2",
                    request_id="req_2",
                    status=503,
                    error_code="overloaded",
                    body={"error": {"message": "Too many requests wait."}},
                    **common,
                ),
                Trace(
                    id="trace_3", request_id="req_3", status=200, refused=True, body={}, **common
                ),
                TraceScore(trace_id="trace_1", name="groundedness", value=0.5, evaluator="facts"),
                Feedback(id="feedback_1", trace_id="trace_1", thumbs="down", comment="Not so."),
            ]
        )
    with running_gateway(tmp_path, database) as running:
        yield running


def _run(gateway: Gateway, *arguments: str, columns: int = 120) -> Result:
    return CliRunner().invoke(
        app,
        ["traces", *arguments, "--base-url", gateway.url],
        env={"NO_COLOR": "1", "COLUMNS": str(columns)},
    )


@pytest.mark.parametrize("columns", [40, 120])
def test_they_are_listed_newest_first_by_filters(gateway: Gateway, columns: int) -> None:
    result = _run(gateway, "list", columns=columns)
    assert result.exit_code == 0, result.output
    places = [result.stdout.index(name) for name in ("trace_3", "trace_2", "trace_1")]
    assert places == sorted(places)
    assert "503 overloaded" in result.stdout
    assert "refused" in result.stdout
    failed = _run(gateway, "list", "--filter", "status=5xx", "--json")
    assert [trace["id"] for trace in json.loads(failed.stdout)] == ["trace_2"]
    found = _run(gateway, "list", "-q", "LEAVE", "-f", "score=groundedness<0.6", "--json")
    assert [trace["id"] for trace in json.loads(found.stdout)] == ["trace_1"]
    assert "No trace matches" in _run(gateway, "list", "-f", "model=none").stdout


def test_wrong_filters_are_errors(gateway: Gateway) -> None:
    malformed = _run(gateway, "list", "--filter", "status")
    assert (malformed.exit_code, "NAME=VALUE" in malformed.output) == (2, True)
    refused = _run(gateway, "list", "--filter", "status=high")
    assert (refused.exit_code, "status is 'high'" in refused.output) == (1, True)


def test_one_is_shown_as_a_tree(gateway: Gateway) -> None:
    result = _run(gateway, "show", "trace_1")
    assert result.exit_code == 0, result.output
    for expected in (
        "model: assistant → ft:one",
        "tokens: 50 + 5",
        "cost: 0.25",
        "options: temperature=0.5",
        "retrieve 20.0 ms at 1.0",
        "embed 8.0 ms",
        "first token after 12.0 ms",
        "system: Be brief.",
        "12 characters of the input were not kept",
        "question: How long is leave?",
        f"answer: {_ANSWER}",
        "passages: 1 used, 1 left out",
        "[1] handbook.pdf 0.910",
        "old.pdf 0.200: budget",
        "sentences: 1 of 2 supported",
        "✓ Ten days.  [1] 0.80 overlap",
        "✗ Perhaps.",
        "groundedness 0.5 facts",
        "feedback: down; Not so.",
    ):
        assert expected in result.stdout
    assert "error: Too many requests wait." in _run(gateway, "show", "req_2").stdout
    assert _run(gateway, "show", "none").exit_code == 1


def test_figures_and_their_groups(gateway: Gateway) -> None:
    result = _run(gateway, "stats", "--by", "model")
    assert result.exit_code == 0, result.output
    line = next(line for line in result.stdout.splitlines() if line.startswith("ft:one"))
    assert " ".join(line.split()[1:]) == "1 0 (0.0%) – 100 100 100 50 + 5 0.25"
    total = next(line for line in result.stdout.splitlines() if line.startswith("all"))
    assert total.split()[1] == "3"
    found = json.loads(_run(gateway, "stats", "--json").stdout)
    assert found["total"]["errors"] == 1


def test_they_are_exported_as_json_lines(gateway: Gateway, tmp_path: Path) -> None:
    out = tmp_path / "deep" / "traces.jsonl"
    result = _run(gateway, "export", "--out", str(out), "--most", "2")
    assert result.exit_code == 0, result.output
    rows = [json.loads(line) for line in out.read_text().splitlines()]
    assert [row["id"] for row in rows] == ["trace_3", "trace_2"]
    failed = _run(gateway, "export", "--out", str(out), "--filter", "status=high")
    assert failed.exit_code == 1
    assert len(out.read_text().splitlines()) == 2, "the earlier export is left alone"
    assert list(out.parent.iterdir()) == [out]


def test_one_is_deleted(gateway: Gateway) -> None:
    assert "Deleted trace_1" in _run(gateway, "delete", "trace_1").stdout
    assert _run(gateway, "show", "trace_1").exit_code == 1


def test_new_ones_are_followed(gateway: Gateway, monkeypatch: pytest.MonkeyPatch) -> None:
    looks = 0

    def look(_: float) -> None:
        nonlocal looks
        looks += 1
        if looks == 2:
            raise KeyboardInterrupt
        with gateway.database.session() as session:
            session.add(
                Trace(id="trace_4", request_id="r", route="/x", status=200, question="New?")
            )

    monkeypatch.setattr("deployments.tracing.commands.time.sleep", look)
    result = _run(gateway, "tail")
    assert result.exit_code == 130
    assert ("trace_4" in result.stdout, "New?" in result.stdout) == (True, True)
    assert "trace_3" not in result.stdout


def test_status_says_how_many_were_lost(gateway: Gateway) -> None:
    port = int(gateway.url.split(":")[2].split("/")[0])
    settings = Settings(http=HttpSettings(port=port))
    assert lost_traces(settings) == 0
    gateway.traces.lost["buffer_full"] += 3
    assert lost_traces(settings) == 3
    shown = io.StringIO()
    status = Status(True, "http://x/v1", None, 1, "m", "d", "s", traces_lost=3)
    print_status(Console(file=shown, width=100), status)
    assert "3 traces were lost" in shown.getvalue()


def test_the_count_is_asked_for_with_the_key_of_the_data_folder(
    tmp_path: Path, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERLOOP_DATA_DIR", str(tmp_path))
    with running_gateway(tmp_path / "data", database, AccessSettings()) as running:
        settings = Settings(http=HttpSettings(port=int(running.url.split(":")[2].split("/")[0])))
        running.traces.lost["buffer_full"] += 3
        assert lost_traces(settings) == 0
        key = add_key(database, "admin")[1]
        write_key_file(tmp_path, KeyFile(settings.base_url, key))
        assert lost_traces(settings) == 3


def test_nobody_who_answers_has_lost_nothing() -> None:
    assert lost_traces(Settings(http=HttpSettings(port=9))) == 0
