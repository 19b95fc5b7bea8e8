"""`everloop keys`, `projects` and `audit` against the real gateway, which asks for keys."""

import json
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import text
from typer.testing import CliRunner, Result

from cluster.cli.app import app
from cluster.database import Database
from cluster.key_file import KeyFile, read_key_file, write_key_file
from cluster.settings import AccessSettings
from tests.fixtures.gateway import Gateway, running_gateway
from tests.fixtures.keys import add_key

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


@pytest.fixture
def gateway(tmp_path: Path, database: Database) -> Iterator[Gateway]:
    """It asks for keys; the command line finds one in the file that `up` would have written."""
    access = AccessSettings(revoked_within_s=0.02)
    (tmp_path / "own").mkdir()
    with running_gateway(tmp_path / "data", database, access) as running:
        key = add_key(database, "admin")[1]
        write_key_file(tmp_path / "own", KeyFile(running.url, key))
        yield running


@pytest.fixture(autouse=True)
def _own_environment(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, gateway: Gateway, database: Database
) -> None:
    url = database._url.render_as_string(hide_password=False)
    monkeypatch.setenv("EVERLOOP_DATA_DIR", str(tmp_path / "own"))
    monkeypatch.setenv("EVERLOOP_DATABASE__URL", url)
    monkeypatch.setenv("EVERLOOP_HTTP__PORT", gateway.url.split(":")[2].split("/")[0])
    monkeypatch.delenv("EVERLOOP_API_KEY", raising=False)
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")


def everloop(*arguments: str) -> Result:
    return CliRunner().invoke(app, list(arguments))


def read(*arguments: str) -> Any:
    done = everloop(*arguments, "--json")
    assert done.exit_code == 0, done.output
    return json.loads(done.stdout)


def test_a_key_is_made_shown_listed_replaced_and_revoked(monkeypatch: pytest.MonkeyPatch) -> None:
    key = read("keys", "create", "app", "--scope", "documents", "--expires", "30d")
    assert key["expires_at"] - key["created_at"] == 30 * 86_400
    assert key["scopes"] == ["documents"]
    told = everloop("keys", "list")
    assert key["shown"] in told.stdout
    assert key["key"] not in told.stdout
    shown = everloop("keys", "show", key["id"])
    assert "documents" in shown.stdout
    new = read("keys", "rotate", key["id"])
    assert read("keys", "show", key["id"])["status"] == "revoked"
    ended = everloop("keys", "revoke", new["id"])
    assert ended.stdout == f"{new['id']} (app) counts no more.\n"
    said = everloop("keys", "create", "page")
    assert said.stdout.startswith("sk-el-")
    assert "inference" in said.stdout


def test_the_last_admin_key_is_revoked_by_force_only_and_replaced_on_the_server(
    tmp_path: Path,
) -> None:
    (key,) = read("keys", "list")
    refused = everloop("keys", "revoke", key["id"])
    assert refused.exit_code == 1
    assert "last key" in refused.output
    assert everloop("keys", "revoke", key["id"], "--force").exit_code == 0
    locked_out = everloop("keys", "list")
    assert locked_out.exit_code == 1
    assert "everloop keys create --local" in " ".join(locked_out.output.split())
    made = everloop("keys", "create", "new", "--local", "--save")
    assert made.exit_code == 0, made.output
    found = read_key_file(tmp_path / "own")
    assert found is not None
    assert made.stdout.startswith(found.key)
    assert read("keys", "list")[0]["created_by"] == "cli"


def test_local_takes_no_other_wish() -> None:
    done = everloop("keys", "create", "new", "--local", "--scope", "inference")
    assert done.exit_code == 2


@pytest.mark.parametrize("time", ["30", "d", "0d", "-1d", "1w", "1.5h"])
def test_what_is_no_time_is_told(time: str) -> None:
    done = everloop("keys", "create", "app", "--expires", time)
    assert done.exit_code == 2
    assert "30d" in done.output


def test_a_project_is_made_with_its_first_key_and_deleted(monkeypatch: pytest.MonkeyPatch) -> None:
    project = read("projects", "create", "support", "--limits", '{"requests_per_minute": 5}')
    assert project["limits"] == {"requests_per_minute": 5}
    first = read("keys", "create", "boss", "--scope", "admin", "--project", project["id"])
    assert first["project"] == project["id"]
    changed = read("projects", "update", project["id"], "--name", "help")
    assert changed["name"] == "help"
    assert "help" in everloop("projects", "list").stdout
    assert everloop("projects", "show", project["id"]).exit_code == 0
    with monkeypatch.context() as patch:
        patch.setenv("EVERLOOP_API_KEY", first["key"])
        assert [one["id"] for one in read("projects", "list")] == [project["id"]]
    kept = CliRunner().invoke(app, ["projects", "delete", project["id"]], input="n\n")
    assert kept.exit_code == 1
    gone = everloop("projects", "delete", project["id"], "--yes")
    assert "is deleting; its keys count no more." in gone.stdout
    with monkeypatch.context() as patch:
        patch.setenv("EVERLOOP_API_KEY", first["key"])
        assert everloop("projects", "list").exit_code == 1


def test_limits_that_are_no_json_are_told() -> None:
    done = everloop("projects", "create", "x", "--limits", "many")
    assert done.exit_code == 2
    assert "JSON" in done.output


def test_the_log_is_listed_exported_and_verified(tmp_path: Path, database: Database) -> None:
    for number in range(3):
        read("projects", "create", f"p{number}")
    listed = read("audit", "list", "--action", "project.", "--most", "2", "--since", "1h")
    assert [event["detail"]["name"] for event in listed] == ["p2", "p1"]
    assert "project.created" in everloop("audit", "list").stdout
    file = tmp_path / "log.jsonl"
    assert everloop("audit", "export", "--out", str(file)).stdout == f"4 events in {file}.\n"
    assert everloop("audit", "export").stdout == file.read_text()
    assert everloop("audit", "verify").exit_code == 0
    assert read("audit", "verify", str(file))["events"] == 4
    lines = file.read_text().splitlines()
    number = json.loads(lines[1])["number"]
    file.write_text("\n".join([lines[0], lines[1].replace("p0", "p9"), *lines[2:]]))
    broken = everloop("audit", "verify", str(file))
    assert broken.exit_code == 1
    assert f"audit_{number}" in broken.stdout
    with database.session() as session:
        session.execute(text("DROP TRIGGER audit_events_stay"))
        session.execute(text("UPDATE audit_events SET actor = 'x' WHERE number = 2"))
    broken = everloop("audit", "verify")
    assert broken.exit_code == 1
    assert "audit_2: It is not as it was written." in broken.stdout


def test_what_is_no_export_is_told(tmp_path: Path) -> None:
    file = tmp_path / "log.jsonl"
    file.write_text('{"a": 1}\n')
    done = everloop("audit", "verify", str(file))
    assert done.exit_code == 2
    assert "audit export" in done.output


def test_other_commands_find_the_key_too() -> None:
    assert everloop("prompts", "list").exit_code == 0
