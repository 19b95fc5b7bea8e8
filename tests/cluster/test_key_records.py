"""Keys in the records: what two do at once, and how long a change waits for the log."""

import threading
from concurrent.futures import ThreadPoolExecutor

import pytest
from sqlalchemy import text

from cluster.audit import record
from cluster.database import Database
from cluster.errors import DatabaseError
from cluster.key_records import is_last_admin, operator_keys, revoke_key
from cluster.records import ApiKey
from tests.fixtures.keys import add_key


def test_two_that_revoke_each_other_do_not_both_succeed(database: Database) -> None:
    ids = [add_key(database, "admin")[0] for _ in range(2)]
    both = threading.Barrier(2)

    def revoke(key_id: str) -> bool:
        both.wait()
        with database.session() as session:
            row = session.get_one(ApiKey, key_id)
            if is_last_admin(session, row):
                return False
            revoke_key(session, row)
            return True

    with ThreadPoolExecutor(2) as pool:
        done = list(pool.map(revoke, ids))
    assert sorted(done) == [False, True]
    with database.session() as session:
        assert len(operator_keys(session)) == 1


def test_who_waits_too_long_for_the_log_changes_nothing(database: Database) -> None:
    """One transaction holds the chain's end; another gives up by the database's own bound."""
    short = "PRAGMA busy_timeout = 50" if database.is_sqlite else "SET lock_timeout = '50ms'"
    other = Database(database._url.render_as_string(hide_password=False), pool_size=1)
    with other._engine.connect() as connection:  # the pool hands the same one out again
        connection.execute(text(short))
        connection.commit()
    try:
        with database.session() as session:
            record(session, "thing.changed", "one")
            with pytest.raises(DatabaseError), other.session() as late:
                record(late, "thing.changed", "two")
    finally:
        other.close()
    with database.session(read_only=True) as session:
        assert session.scalar(text("SELECT count(*) FROM audit_events")) == 1
