"""Database: transactions, durability, migrations, errors. On SQLite and on PostgreSQL."""

import asyncio
import os
import signal
import subprocess
import sys
import threading
from pathlib import Path

import pytest
from sqlalchemy import inspect, select, text, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cluster.database import Database
from cluster.errors import DatabaseError
from cluster.records import FileBatch, VectorStore


def _names(database: Database) -> list[str]:
    with database.session(read_only=True) as session:
        return sorted(session.scalars(select(VectorStore.name)))


def test_a_session_commits_at_its_end(database: Database) -> None:
    with database.session() as session:
        session.add(VectorStore(id="vs_1", name="kept"))
    assert _names(database) == ["kept"]


def test_a_session_that_raises_leaves_nothing(database: Database) -> None:
    with pytest.raises(RuntimeError), database.session() as session:
        session.add(VectorStore(id="vs_1", name="lost"))
        session.flush()
        raise RuntimeError
    assert _names(database) == []


async def test_run_gives_the_result_of_the_transaction(database: Database) -> None:
    def add(session: Session) -> str:
        session.add(VectorStore(id="vs_1", name="kept"))
        return "done"

    assert await database.run(add) == "done"
    assert _names(database) == ["kept"]


async def test_concurrent_read_and_write_transactions_lose_no_update(database: Database) -> None:
    with database.session() as session:
        session.add(VectorStore(id="vs_1", name="0", last_active_at=0))

    def increment(session: Session) -> None:
        store = session.get_one(VectorStore, "vs_1", with_for_update=True)
        store.last_active_at += 1

    await asyncio.gather(*(database.run(increment) for _ in range(20)))
    with database.session() as session:
        assert session.get_one(VectorStore, "vs_1").last_active_at == 20


async def test_a_reader_does_not_wait_for_a_writer(database: Database) -> None:
    with database.session() as session:
        session.execute(text("UPDATE vector_stores SET name = 'x'"))
        session.add(VectorStore(id="vs_1", name="unseen"))
        session.flush()
        seen = await asyncio.wait_for(
            database.run(
                lambda reader: list(reader.scalars(select(VectorStore.id))), read_only=True
            ),
            timeout=5,
        )
    assert seen == []


async def test_a_deadlock_is_tried_again(database: Database) -> None:
    if database.is_sqlite:
        pytest.skip("writers of SQLite take turns, so they cannot deadlock")
    with database.session() as session:
        session.add_all([VectorStore(id="vs_a"), VectorStore(id="vs_b")])
    both_hold_one = threading.Barrier(2)
    tries: list[str] = []

    def take(first: str, second: str) -> None:
        def fn(session: Session) -> None:
            tries.append(first)
            for store_id in (first, second):
                change = update(VectorStore).where(VectorStore.id == store_id)
                session.execute(change.values(name=VectorStore.name + first))
                if len(tries) <= 2 and store_id == first:
                    both_hold_one.wait(10)

        asyncio.run(database.run(fn))

    orders = (("vs_a", "vs_b"), ("vs_b", "vs_a"))
    threads = [threading.Thread(target=take, args=pair) for pair in orders]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(20)
    assert len(tries) == 3
    assert {len(name) for name in _names(database)} == {8}


def test_foreign_keys_hold(database: Database) -> None:
    with pytest.raises(IntegrityError), database.session() as session:
        session.add(FileBatch(id="vsfb_1", store_id="vs_missing"))


def test_an_acknowledged_commit_survives_kill_9(database: Database) -> None:
    script = (
        "import sys, os, time\n"
        "from cluster.database import Database\n"
        "from cluster.records import VectorStore\n"
        "with Database(sys.argv[1]).session() as session:\n"
        "    session.add(VectorStore(id='vs_1', name='kept'))\n"
        "print('committed', flush=True); time.sleep(60)\n"
    )
    url = database._url.render_as_string(hide_password=False)
    with subprocess.Popen([sys.executable, "-c", script, url], stdout=subprocess.PIPE) as child:
        assert child.stdout is not None
        assert child.stdout.readline() == b"committed\n"
        os.kill(child.pid, signal.SIGKILL)
    assert _names(database) == ["kept"]


def test_migrations_and_records_agree(database: Database) -> None:
    from alembic.autogenerate import compare_metadata
    from alembic.migration import MigrationContext

    from cluster.records import Base

    with database._engine.begin() as connection:
        context = MigrationContext.configure(connection, opts={"compare_type": True})
        assert compare_metadata(context, Base.metadata) == []


def test_concurrent_starts_migrate_once(database_url: str) -> None:
    databases = [Database(database_url, pool_size=1) for _ in range(4)]
    failures: list[Exception] = []

    def migrate(database: Database) -> None:
        try:
            database.migrate()
        except Exception as error:  # noqa: BLE001 - any failure of a thread fails the test
            failures.append(error)

    threads = [threading.Thread(target=migrate, args=(database,)) for database in databases]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(30)
    assert failures == []
    for database in databases:
        database.check()
        database.close()


def test_check_names_what_to_do_where_there_is_no_schema(database_url: str) -> None:
    database = Database(database_url)
    with pytest.raises(DatabaseError, match="everloop up"):
        database.check()
    database.close()


def test_sqlite_file_is_not_created_by_check(tmp_path: Path) -> None:
    with pytest.raises(DatabaseError):
        Database(f"sqlite:///{tmp_path / 'new.db'}").check()
    assert list(tmp_path.iterdir()) == []


def test_an_unreachable_server_is_named_without_its_password() -> None:
    database = Database("postgresql://someone:secret@127.0.0.1:1/everloop")
    with pytest.raises(DatabaseError, match=r"someone:\*\*\*@127.0.0.1:1/everloop") as caught:
        database.check()
    assert "secret" not in str(caught.value)


async def test_run_wraps_an_unreachable_server() -> None:
    database = Database("postgresql://someone:secret@127.0.0.1:1/everloop")
    with pytest.raises(DatabaseError, match=r"127\.0\.0\.1:1"):
        await database.run(lambda session: session.execute(text("SELECT 1")))


@pytest.mark.parametrize("url", ["nonsense", "mysql://host/db", "sqlite://"])
def test_an_unsupported_url_is_refused(url: str) -> None:
    with pytest.raises(DatabaseError, match=r"database\.url"):
        Database(url)


def test_migrated_tables_are_there(database: Database) -> None:
    tables = set(inspect(database._engine).get_table_names())
    assert {"files", "vector_stores", "vector_store_files", "traces", "alembic_version"} <= tables
