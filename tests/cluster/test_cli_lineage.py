"""`everloop lineage` against the real gateway over records made by hand."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cluster.cli.app import app
from cluster.database import Database
from deployments.lineage.edges import Edge, add_edges
from tests.fixtures.gateway import Gateway, running_gateway
from tests.fixtures.lineage import ADAPTER, add_loop, add_trace

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def gateway(tmp_path: Path, database: Database) -> Iterator[Gateway]:
    with database.session() as session:
        add_loop(session)
    with running_gateway(tmp_path / "data", database) as running:
        yield running


@pytest.fixture(autouse=True)
def _own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERLOOP_DATA_DIR", str(tmp_path / "own"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "100")


def everloop(gateway: Gateway, *arguments: str) -> Result:
    return CliRunner().invoke(app, ["lineage", *arguments, "--base-url", gateway.url])


def test_a_tree_leads_from_an_answer_to_the_feedback_that_taught_it(gateway: Gateway) -> None:
    shown = everloop(gateway, "trace_new")
    assert shown.exit_code == 0, shown.output
    lines = [line.strip(" │├└─") for line in shown.stdout.splitlines()]
    assert lines[:2] == ["trace trace_new", "trace_new?"]
    assert f"answered_by: adapter {ADAPTER}" in lines
    assert "trained_on: file file-train" in lines
    assert lines[lines.index("row: feedback fb_1") + 1] == "sort:animal"
    assert sum("fine_tuning.job ftjob-1" in line for line in lines) >= 1
    told = [line for line in lines if "trace trace_old" in line]
    assert [line.endswith("(see there)") for line in told].count(False) == 1


def test_forward_goes_from_a_document_to_what_it_taught(gateway: Gateway) -> None:
    shown = everloop(gateway, "file-doc", "--forward")
    assert "cited: trace trace_old" in shown.stdout
    assert "stands_at: alias assistant" in shown.stdout
    assert "resp_1" in shown.stdout


def test_ids_are_whole_in_a_narrow_terminal(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("COLUMNS", "60")
    shown = everloop(gateway, "fb_1")
    assert max(map(len, shown.stdout.splitlines())) <= 60
    assert "polite@0123456789ab" in shown.stdout


def test_json_is_what_the_service_answered(gateway: Gateway) -> None:
    found = json.loads(everloop(gateway, "trace_new", "--json").stdout)
    assert (found["object"], found["root"]) == ("lineage", "trace_new")
    assert "fb_1" in {node["id"] for node in found["nodes"]}


def test_things_of_a_type_are_a_list(gateway: Gateway) -> None:
    shown = everloop(gateway, "trace_new", "--type", "feedback", "--type", "file")
    lines = [line for line in shown.stdout.splitlines() if line.startswith(("file", "feedback"))]
    assert {line.split()[1] for line in lines} >= {"fb_1", "file-train", "file-doc"}
    assert "trace_old" not in shown.stdout


def test_of_many_alike_a_few_are_shown_and_the_rest_counted(gateway: Gateway) -> None:
    with gateway.database.session() as session:
        for number in range(12):
            add_trace(session, f"trace_{number:02}", model=None)
        add_edges(session, [Edge("psg_2", f"trace_{number:02}", "used") for number in range(12)])
    shown = everloop(gateway, "psg_2", "--forward", "--limit", "9")
    assert shown.stdout.count("used: trace") == 5
    assert "used: and 4 more of type trace" in shown.stdout
    assert "Left out by the bounds, links: 3 to trace." in shown.stdout


def test_depth_ends_the_tree(gateway: Gateway) -> None:
    shown = everloop(gateway, "file-doc", "--forward", "--depth", "1")
    assert "psg_1" not in shown.stdout
    assert "1 to passage" in shown.stdout


def test_what_was_deleted_is_told_so(gateway: Gateway) -> None:
    with gateway.database.session() as session:
        add_edges(session, [Edge("fb_gone", "file-train", "row")])
    assert "row: feedback fb_gone deleted" in everloop(gateway, "trace_new").stdout


def test_what_nothing_is_known_of_fails(gateway: Gateway) -> None:
    failed = everloop(gateway, "trace_none")
    assert failed.exit_code == 1
    assert "Nothing is known of 'trace_none'" in " ".join(failed.stderr.split())


def test_the_help_says_what_an_id_may_be(gateway: Gateway) -> None:
    shown = CliRunner().invoke(app, ["lineage", "-h"], env={"COLUMNS": "200"})
    assert shown.exit_code == 0
    assert "Of a trace, response, feedback" in shown.stdout
