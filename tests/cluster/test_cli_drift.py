"""`everloop drift` over the real gateway."""

import asyncio
import json
import shutil
from collections.abc import Iterator
from pathlib import Path

import pytest
from typer.testing import CliRunner, Result

from cluster.cli.app import app
from cluster.database import Database
from cluster.records import DriftMonitor
from tests.fixtures.drift import StoredDrift, stored_drift
from tests.fixtures.gateway import Gateway, running_gateway


@pytest.fixture(scope="module")
def gateway(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Gateway]:
    folder = tmp_path_factory.mktemp("gateway")
    database = Database(f"sqlite:///{folder / 'everloop.db'}")
    database.migrate()
    with running_gateway(folder, database) as running:
        yield running
    database.close()
    shutil.rmtree(folder, ignore_errors=True)


@pytest.fixture(scope="module")
def drift(gateway: Gateway) -> StoredDrift:
    return asyncio.run(stored_drift(gateway.database))


def invoke(gateway: Gateway, *args: str, columns: int = 160) -> Result:
    environment = {"COLUMNS": str(columns), "NO_COLOR": "1"}
    return CliRunner(env=environment).invoke(app, ["drift", *args, "--base-url", gateway.url])


def test_create_takes_filters_and_a_file(gateway: Gateway, tmp_path: Path) -> None:
    config = tmp_path / "plan.yaml"
    config.write_text("persistence: 3\nfilters: {route: /v1/responses}\n")
    done = invoke(gateway, "create", "shop", "--alias", "assistant", "--config", str(config),
                  "--json")  # fmt: skip
    assert done.exit_code == 0, done.output
    made = json.loads(done.stdout)
    assert made["settings"]["persistence"] == 3
    assert made["settings"]["filters"]["alias"] == "assistant"
    assert made["settings"]["filters"]["route"] == "/v1/responses"
    shown = invoke(gateway, "show", made["id"])
    assert shown.exit_code == 1
    assert "no report yet" in shown.output
    assert "waits for 2000 requests" in shown.output
    looked = invoke(gateway, "run", made["id"])
    assert looked.exit_code == 0
    with gateway.database.session() as session:
        assert session.get_one(DriftMonitor, made["id"]).state["wanted"] is True


def test_a_file_that_is_no_mapping_is_a_usage_error(gateway: Gateway, tmp_path: Path) -> None:
    config = tmp_path / "plan.yaml"
    config.write_text("- 1\n")
    done = invoke(gateway, "create", "shop", "--config", str(config))
    assert done.exit_code == 2
    assert "not a mapping" in " ".join(done.output.split())


@pytest.mark.parametrize("columns", [160, 40])
def test_show_names_signals_and_topics(
    gateway: Gateway, drift: StoredDrift, tmp_path: Path, columns: int
) -> None:
    page = tmp_path / "page.html"
    done = invoke(gateway, "show", drift.monitor, "--page", str(page), columns=columns)
    assert done.exit_code == 0, done.output
    assert "Out of bounds: domain, mmd" in done.stdout
    assert "domain classifier" in done.stdout
    assert "topic 1 " in done.stdout
    assert "rose" in done.stdout
    assert page.read_text(encoding="utf-8").startswith("<!doctype html>")


def test_list_shows_every_monitor(gateway: Gateway, drift: StoredDrift) -> None:
    assert drift.monitor in invoke(gateway, "list", columns=40).stdout
    found = json.loads(invoke(gateway, "list", "--json").stdout)
    assert drift.monitor in {one["id"] for one in found["data"]}


def test_a_topic_becomes_a_data_set_in_one_command(
    gateway: Gateway, drift: StoredDrift, tmp_path: Path
) -> None:
    out = tmp_path / "sets" / "rockets.jsonl"
    done = invoke(gateway, "dataset", drift.report, "--topic", "1", "--kind", "eval", "--out",
                  str(out))  # fmt: skip
    assert done.exit_code == 0, done.output
    rows = [json.loads(line) for line in out.read_text(encoding="utf-8").splitlines()]
    assert {row["metadata"]["trace"] for row in rows} <= set(drift.rockets)
    assert f"{len(rows)} rows" in done.stdout
    refused = invoke(gateway, "dataset", drift.report, "--topic", "1", "--kind", "fine-tune")
    assert refused.exit_code == 1
    assert "accepted feedback" in refused.output


def test_alerts_lists_what_was_raised(gateway: Gateway, drift: StoredDrift) -> None:
    def alerts(*words: str) -> str:
        asked = ["alerts", *words, "--base-url", gateway.url]
        return CliRunner().invoke(app, asked).output

    assert drift.alert in alerts("list", "--kind", "drift")
    assert "No alert." in alerts("list", "--status", "resolved")
    assert alerts("resolve", drift.alert) == f"{drift.alert} is resolved.\n"
    assert drift.alert in alerts("list", "--status", "resolved")


def test_an_unknown_report_is_an_error(gateway: Gateway) -> None:
    done = invoke(gateway, "show", "drift_none")
    assert done.exit_code == 1
    assert "No such drift report" in done.output
