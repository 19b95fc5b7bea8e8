"""Every released schema, with rows in all its tables, comes forward to ours and loses nothing."""

from pathlib import Path

import pytest
from sqlalchemy import text
from sqlalchemy.exc import SQLAlchemyError

from cluster.database import Database
from cluster.errors import DatabaseError, EverloopError
from cluster.records import Base
from tests.fixtures.rows import all_rows, fill

RELEASED = ("0001", "0002", "0003", "0004", "0005")


@pytest.mark.parametrize("version", RELEASED)
def test_rows_of_a_released_schema_are_there_after_the_migration(
    database_url: str, version: str
) -> None:
    database = Database(database_url, pool_size=1)
    database.migrate(version)
    before = fill(database)
    database.migrate()
    database.check()
    after = all_rows(database)
    assert before.keys() <= after.keys()
    for table, rows in before.items():
        assert len(after[table]) == len(rows), table
        for old, new in zip(rows, after[table], strict=True):
            same = old.keys() & new.keys()
            assert {name: new[name] for name in same} == {name: old[name] for name in same}, table
    with database.session(read_only=True) as session:
        for mapper in Base.registry.mappers:
            for record in session.query(mapper.class_):
                for column in mapper.columns:  # what must be there was filled
                    value = getattr(record, mapper.get_property_by_column(column).key)
                    assert value is not None or column.nullable, f"{mapper}.{column.name}"
    assert "proj_default" in [row["id"] for row in after["projects"]]
    database.close()


def test_a_failed_migration_leaves_the_old_state(
    database_url: str, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(database_url, pool_size=1)
    database.migrate("0004")
    with database.connection() as connection:  # in the way of the last table that 0005 makes
        connection.execute(text("CREATE TABLE usage (x INTEGER)"))
        connection.execute(text("INSERT INTO usage VALUES (7)"))
    with pytest.raises((EverloopError, SQLAlchemyError)):
        database.migrate()
    assert database.schema() == "0004"
    left = all_rows(database)
    assert left["usage"] == [{"x": 7}]
    assert "api_keys" not in left
    database.close()


def test_sqlite_is_copied_before_it_is_migrated(tmp_path: Path) -> None:
    path = tmp_path / "everloop.db"
    database = Database(f"sqlite:///{path}", pool_size=1)
    assert database.keep_copy() is None
    database.migrate("0004")
    before = fill(database)
    copy = database.keep_copy()
    assert copy == tmp_path / "everloop.db.schema-0004"
    database.migrate()
    assert database.keep_copy() is None
    database.close()
    kept = Database(f"sqlite:///{copy}", pool_size=1)
    assert kept.schema() == "0004"
    assert all_rows(kept) == before
    kept.close()


def test_without_room_for_the_copy_nothing_is_migrated(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    database = Database(f"sqlite:///{tmp_path / 'everloop.db'}", pool_size=1)
    database.migrate("0004")

    def full(_self: Path, _target: Path) -> Path:
        raise OSError(28, "No space left on device")

    monkeypatch.setattr(Path, "replace", full)
    with pytest.raises(DatabaseError, match="No space left"):
        database.keep_copy()
    assert not list(tmp_path.glob(".*half"))
    database.close()


def test_audit_events_stay_and_names_are_there_once_after_the_projects_table_was_made_anew(
    database_url: str,
) -> None:
    database = Database(database_url, pool_size=1)
    database.migrate("0006")
    fill(database)
    database.migrate()

    def refused(statement: str) -> None:
        with pytest.raises((EverloopError, SQLAlchemyError)), database.connection() as connection:
            connection.execute(text(statement))

    refused("DELETE FROM audit_events")
    refused("UPDATE audit_events SET actor = 'x'")
    twin = (
        "INSERT INTO projects (id, name, status, limits, meta, created_at) "
        "VALUES ('proj_twin', 'default', '{}', '{{}}', '{{}}', 1)"
    )
    refused(twin.format("active"))
    with database.connection() as connection:
        connection.execute(text(twin.format("deleted")))
    database.close()
