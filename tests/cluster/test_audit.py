"""The audit log's chain: what is changed, taken out or put in is noticed."""

import json
from concurrent.futures import ThreadPoolExecutor
from typing import Any

import pytest
from sqlalchemy import select, text
from sqlalchemy.exc import DBAPIError, IntegrityError

from cluster.actor import acting_as
from cluster.audit import COVERED, ChainCheck, check_chain, event_digest, record, verify
from cluster.database import Database
from cluster.errors import DatabaseError
from cluster.ids import DEFAULT_PROJECT
from cluster.records import AuditEvent, Project, StoredFile
from cluster.tenancy import acting_in

SWITCH_OFF = {
    "sqlite": ("DROP TRIGGER audit_events_stay", "DROP TRIGGER audit_events_last"),
    "postgresql": ("SET LOCAL session_replication_role = replica",),
}


def write(database: Database, count: int, project: str = DEFAULT_PROJECT) -> None:
    for number in range(count):
        with acting_as("key_1", f"req_{number}"), database.session() as session:
            detail = {"share": 0.5, "name": "Zoë ☃", "left": None, "list": [1, 2.0, "x"]}
            record(session, "thing.changed", f"thing_{number}", project_id=project, **detail)


def checked(database: Database, project: str = DEFAULT_PROJECT) -> ChainCheck:
    with database.session(read_only=True) as session:
        return verify(session, project)


def events(database: Database, project: str = DEFAULT_PROJECT) -> list[AuditEvent]:
    with database.session(read_only=True) as session:
        query = select(AuditEvent).where(AuditEvent.project_id == project)
        return list(session.scalars(query.order_by(AuditEvent.number)))


def tamper(database: Database, statement: str, number: int) -> None:
    """As somebody who owns the database."""
    with database.session() as session:
        for switch in SWITCH_OFF["sqlite" if database.is_sqlite else "postgresql"]:
            session.execute(text(switch))
        session.execute(text(f"{statement} WHERE number = :number"), {"number": number})


def test_an_event_says_who_did_what_to_what(database: Database) -> None:
    write(database, 1)
    (event,) = events(database)
    assert (event.actor, event.action, event.object_id) == ("key_1", "thing.changed", "thing_0")
    assert (event.project_id, event.request_id) == (DEFAULT_PROJECT, "req_0")
    assert event.detail == {"share": "0.5", "name": "Zoë ☃", "list": [1, "2.0", "x"]}
    assert event.previous is None


def test_everloop_itself_is_the_system(database: Database) -> None:
    with database.session() as session:
        record(session, "thing.changed", "thing")
    assert events(database)[0].actor == "system"


def test_an_event_is_of_the_acting_project_unless_another_is_named(database: Database) -> None:
    with acting_in("proj_a"), database.session() as session:
        record(session, "thing.changed", "one")
        record(session, "thing.changed", "two", project_id="proj_b")
    assert [event.object_id for event in events(database, "proj_a")] == ["one"]
    assert [event.object_id for event in events(database, "proj_b")] == ["two"]
    assert checked(database, "proj_a").reason is None
    assert checked(database, "proj_b").reason is None


def test_a_chain_as_it_was_written_holds(database: Database) -> None:
    assert checked(database) == ChainCheck(0, None)
    write(database, 5)
    found = checked(database)
    assert found == ChainCheck(5, events(database)[-1].digest)


def test_a_change_that_fails_leaves_no_event(database: Database) -> None:
    write(database, 1)
    with pytest.raises(IntegrityError), database.session() as session:
        record(session, "thing.changed", "never")
        session.add(Project(id=DEFAULT_PROJECT, name="another"))
    assert len(events(database)) == 1
    assert checked(database).reason is None


def test_a_changed_event_is_named(database: Database) -> None:
    write(database, 4)
    number = events(database)[1].number
    tamper(database, "UPDATE audit_events SET actor = 'somebody'", number)
    found = checked(database)
    assert (found.broken, found.events) == (number, 2)
    assert found.reason == "It is not as it was written."


def test_an_event_that_is_missing_is_noticed_at_the_next(database: Database) -> None:
    write(database, 4)
    numbers = [event.number for event in events(database)]
    tamper(database, "DELETE FROM audit_events", numbers[1])
    found = checked(database)
    assert found.broken == numbers[2]
    assert "missing" in str(found.reason)


def test_an_end_that_is_cut_off_is_noticed(database: Database) -> None:
    write(database, 4)
    number = events(database)[-1].number
    tamper(database, "DELETE FROM audit_events", number)
    found = checked(database)
    assert found.broken is None
    assert found.reason == "There are 3 events and there should be 4: the end differs."


@pytest.mark.parametrize(
    "statement",
    ["UPDATE audit_events SET actor = 'x'", "DELETE FROM audit_events"],
    ids=["update", "delete"],
)
def test_the_database_refuses_to_change_events(database: Database, statement: str) -> None:
    write(database, 2)
    with (
        pytest.raises((DatabaseError, DBAPIError), match="audit events"),
        database.session() as session,
    ):
        session.execute(text(statement))
    assert len(events(database)) == 2


def test_postgres_refuses_to_empty_the_table(database: Database) -> None:
    if database.is_sqlite:  # which has no TRUNCATE
        return
    write(database, 1)
    with pytest.raises(DatabaseError, match="audit events"), database.session() as session:
        session.execute(text("TRUNCATE audit_events"))


def test_events_go_with_their_project(database: Database) -> None:
    with database.session() as session:
        session.add(Project(id="proj_a", name="a", status="deleting"))
    write(database, 2, "proj_a")
    write(database, 1)
    with database.session() as session:
        session.execute(text("DELETE FROM audit_events WHERE project_id = 'proj_a'"))
    assert events(database, "proj_a") == []
    assert len(events(database)) == 1


def test_many_at_once_make_one_chain(database: Database) -> None:
    """Each in a transaction of its own; those of one project wait for one another."""

    def change(number: int) -> None:
        with database.session() as session:
            name = f"file-{number}"
            file = StoredFile(id=name, filename=name, purpose="evals", bytes=1, sha256="")
            file.storage_key = name
            session.add(file)
            record(session, "file.created", name, project_id=f"proj_{number % 2}")

    with ThreadPoolExecutor(4) as pool:
        list(pool.map(change, range(40)))
    for project in ("proj_0", "proj_1"):
        found = checked(database, project)
        assert (found.events, found.reason) == (20, None)


def test_a_chain_can_be_checked_without_its_database(database: Database) -> None:
    write(database, 3)
    lines = [
        json.dumps({name: getattr(event, name) for name in (*COVERED, "digest", "number")})
        for event in events(database)
    ]
    read: list[dict[str, Any]] = [json.loads(line) for line in lines]
    assert check_chain(read).reason is None
    read[1]["detail"]["name"] = "another"
    assert check_chain(read).broken == read[1]["number"]
    read[1]["digest"] = event_digest(read[1])  # whoever changes one must change all that follow
    assert check_chain(read).broken == read[2]["number"]
