"""The key that the first `up` makes."""

from pathlib import Path

import pytest
from sqlalchemy import select
from typer.testing import CliRunner

from cluster.cli.app import app
from cluster.database import Database
from cluster.errors import SettingsError
from cluster.key_file import KeyFile, read_key_file, write_key_file
from cluster.key_records import create_key, revoke_key
from cluster.keys import key_digest
from cluster.launch.first_key import ensure_first_key, make_local_key
from cluster.records import ApiKey, AuditEvent
from cluster.settings import AccessSettings, DatabaseSettings, HttpSettings, Settings


@pytest.fixture
def settings(tmp_path: Path, database: Database) -> Settings:
    url = database._url.render_as_string(hide_password=False)
    (tmp_path / "data").mkdir()
    return Settings(data_dir=tmp_path / "data", database=DatabaseSettings(url=url))


def keys(database: Database) -> list[ApiKey]:
    with database.session(read_only=True) as session:
        return list(session.scalars(select(ApiKey).order_by(ApiKey.id)))


def test_the_first_time_makes_one_that_may_do_everything(
    settings: Settings, database: Database
) -> None:
    made = ensure_first_key(settings)
    assert made.made is not None
    assert read_key_file(settings.data_dir) == KeyFile(settings.base_url, made.made)
    (row,) = keys(database)
    assert (row.scopes, row.created_by, row.digest) == (["admin"], "cli", key_digest(made.made))
    with database.session(read_only=True) as session:
        (event,) = session.scalars(select(AuditEvent))
    assert (event.actor, event.action, event.object_id) == ("cli", "key.created", row.id)
    assert made.made not in str(event.detail)


def test_the_second_time_finds_it(settings: Settings, database: Database) -> None:
    first = ensure_first_key(settings)
    again = ensure_first_key(settings)
    assert again.made is None
    assert again.path == first.path
    assert len(keys(database)) == 1


def test_an_everloop_that_moved_keeps_its_key(settings: Settings, database: Database) -> None:
    first = ensure_first_key(settings)
    moved = settings.model_copy(update={"http": HttpSettings(port=9999)})
    ensure_first_key(moved)
    assert read_key_file(settings.data_dir) == KeyFile(moved.base_url, str(first.made))
    assert len(keys(database)) == 1


def test_a_file_whose_key_counts_no_more_is_told(settings: Settings, database: Database) -> None:
    ensure_first_key(settings)
    with database.session() as session:
        create_key(session, project_id="proj_default", name="other", scopes=("admin",))
        for row in session.scalars(select(ApiKey).where(ApiKey.name == "first key")):
            revoke_key(session, row)
    assert "counts no more" in ensure_first_key(settings).said
    assert len(keys(database)) == 2


def test_where_no_key_manages_anything_any_more_another_is_made(
    settings: Settings, database: Database
) -> None:
    first = ensure_first_key(settings)
    with database.session() as session:
        create_key(session, project_id="proj_default", name="app", scopes=("inference",))
        for row in session.scalars(select(ApiKey).where(ApiKey.name == "first key")):
            revoke_key(session, row)
    second = ensure_first_key(settings)
    assert second.made not in (None, first.made)


def test_keys_without_a_file_here_are_told(settings: Settings, database: Database) -> None:
    make_local_key(settings, name="elsewhere", save=False)
    found = ensure_first_key(settings)
    assert (found.path, found.made) == (None, None)
    assert "EVERLOOP_API_KEY" in found.said


def test_without_keys_there_is_none(settings: Settings, database: Database) -> None:
    off = settings.model_copy(update={"access": AccessSettings(keys="off")})
    assert ensure_first_key(off).path is None
    assert keys(database) == []


def test_a_key_that_cannot_be_kept_is_not_made(
    settings: Settings, database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    def full(*_: object) -> None:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr("cluster.key_file._write", full)
    with pytest.raises(SettingsError, match="No space"):
        ensure_first_key(settings)
    assert keys(database) == []


def test_a_lost_key_is_replaced_on_the_server(settings: Settings, database: Database) -> None:
    write_key_file(settings.data_dir, KeyFile(settings.base_url, "sk-el-lost"))
    key = make_local_key(settings, name="new", save=True)
    assert read_key_file(settings.data_dir) == KeyFile(settings.base_url, key)


def test_up_shows_the_key_once_and_how_to_load_its_file(
    settings: Settings, monkeypatch: pytest.MonkeyPatch
) -> None:
    found = [ensure_first_key(settings), ensure_first_key(settings)]
    key, path = str(found[0].made), str(found[0].path)
    monkeypatch.setattr("cluster.cli.up.load_settings", lambda: settings)
    monkeypatch.setattr("cluster.cli.up.up", lambda *_: found.pop(0))
    monkeypatch.setenv("COLUMNS", "60")
    first, second = (CliRunner().invoke(app, ["up"]).stdout for _ in range(2))
    assert f"API key     {key}   (shown once)" in first
    assert f"  . {path}   (then `OpenAI()` needs no arguments)" in first
    assert key not in second
    assert f"  . {path}" in second
