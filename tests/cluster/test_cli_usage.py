"""`everloop usage` against the real gateway."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cluster.cli.app import app
from cluster.database import Database
from cluster.ids import DEFAULT_PROJECT
from cluster.records import Usage
from tests.fixtures.databases import database
from tests.fixtures.gateway import Gateway, running_gateway

__all__ = ["database"]


@pytest.fixture
def gateway(database: Database, tmp_path: Path) -> Iterator[Gateway]:
    with running_gateway(tmp_path, database) as running:
        yield running


def run(gateway: Gateway, *arguments: str) -> Result:
    runner = CliRunner(env={"COLUMNS": "200"})
    return runner.invoke(app, ["usage", "--base-url", gateway.url, *arguments])


def test_the_first_look_finds_nothing_and_counts_itself(gateway: Gateway) -> None:
    assert run(gateway).output.strip() == "Nothing was used."
    assert run(gateway, "--by", "model").output.splitlines()[2].split()[1:3] == ["none", "1"]


def test_usage_by_month_and_key(gateway: Gateway) -> None:
    with gateway.database.session() as session:
        for month, key, tokens in (("2096-10", "key_1", 1500), ("2096-11", "key_2", 7)):
            session.add(
                Usage(
                    project_id=DEFAULT_PROJECT,
                    key_id=key,
                    month=month,
                    model="small",
                    requests=3,
                    prompt_tokens=tokens,
                    completion_tokens=1,
                    cost=0.25,
                )
            )
        session.add(Usage(project_id="proj_other", key_id="key_3", month="2096-11"))
    shown = run(gateway).output
    lines = [line.split() for line in shown.splitlines()]
    assert lines[0] == ["month", "key", "requests", "prompt", "completion", "tokens", "cost"]
    assert lines[2] == ["2096-11", "key_2", "3", "7", "1", "8", "0.2500"]
    assert lines[4] == ["2096-10", "key_1", "3", "1,500", "1", "1,501", "0.2500"]
    assert "key_3" not in shown
    models = [line.split() for line in run(gateway, "--by", "model").output.splitlines()]
    assert models[0][:3] == ["month", "model", "requests"]
    assert models[2][:4] == ["2096-11", "small", "3", "7"]
    found = json.loads(run(gateway, "--json", "--months", "1", "--key", "key_2").output)
    assert [month["month"] for month in found["data"]] == ["2096-11"]
    assert found["data"][0]["total_tokens"] == 8
