"""Who a key stands for."""

import asyncio
import time
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update

from cluster.database import Database
from cluster.errors import DatabaseError
from cluster.internal_tokens import InternalTokens
from cluster.records import ApiKey, Project
from deployments.errors import Unauthorized
from deployments.gateway.access.key_book import KeyBook
from deployments.gateway.access.last_use import LastUse
from tests.fixtures.keys import add_key, add_project

SECRET = b"0123456789abcdef"
TTL_S = 0.05


def book(database: Database, **options: Any) -> KeyBook:
    given = {"revoked_within_s": TTL_S, "last_known_s": 60.0, **options}
    return KeyBook(database, InternalTokens(SECRET), **given)


async def refusal(keys: KeyBook, header: str) -> str | None:
    with pytest.raises(Unauthorized) as refused:
        await keys.identify(header)
    return refused.value.code


async def test_a_key_stands_for_its_project_and_scopes(database: Database) -> None:
    project = add_project(database, "a")
    key_id, key = add_key(database, "inference", "documents", project=project)
    found = await book(database).identify(f"bearer  {key} ")
    assert (found.project_id, found.key_id) == (project, key_id)
    assert found.scopes == {"inference", "documents"}
    assert found.may(frozenset({"documents", "training"}))
    assert not found.may(frozenset({"training"}))


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("", "missing_api_key"),
        ("Bearer", "missing_api_key"),
        ("Basic eA==", "missing_api_key"),
        ("Bearer sk-el-unknown", "invalid_api_key"),
        ("Bearer sk-of-openai", "invalid_api_key"),
        ("Bearer sk-in-forged.x", "invalid_api_key"),
        (f"Bearer sk-el-{'x' * 10_000}", "invalid_api_key"),
    ],
)
async def test_what_is_no_key_is_refused(database: Database, header: str, code: str) -> None:
    assert await refusal(book(database), header) == code


async def test_a_key_ends_when_it_expires(database: Database) -> None:
    at = 1_900_000_000.0
    _, key = add_key(database, "inference", expires_at=int(at) + 1)
    keys = book(database, clock=lambda: at)
    await keys.identify(f"Bearer {key}")
    at += 1
    assert await refusal(keys, f"Bearer {key}") == "expired_api_key"


async def test_a_key_that_is_revoked_counts_a_moment_longer_and_no_more(
    database: Database,
) -> None:
    _, key = add_key(database, "inference")
    keys = book(database)
    await keys.identify(f"Bearer {key}")
    with database.session() as session:
        session.execute(update(ApiKey).values(revoked_at=1))
    await asyncio.sleep(TTL_S)
    assert await refusal(keys, f"Bearer {key}") == "invalid_api_key"


async def test_keys_and_tokens_of_a_project_that_is_deleted_stop(database: Database) -> None:
    project = add_project(database, "a")
    _, key = add_key(database, "inference", project=project)
    token = InternalTokens(SECRET).mint(project, ("inference",))
    keys = book(database)
    await keys.identify(f"Bearer {key}")
    part = await keys.identify(f"Bearer {token}")
    assert (part.project_id, part.key_id) == (project, "system")
    assert part.scopes == {"inference"}
    with database.session() as session:
        session.execute(update(Project).where(Project.id == project).values(status="deleting"))
    await asyncio.sleep(TTL_S)
    assert await refusal(keys, f"Bearer {key}") == "invalid_api_key"
    assert await refusal(keys, f"Bearer {token}") == "invalid_api_key"


async def test_a_known_key_goes_on_while_the_database_is_away_and_a_new_one_cannot(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    _, key = add_key(database, "inference")
    _, other = add_key(database, "inference")
    keys = book(database)
    await keys.identify(f"Bearer {key}")

    async def away(*_: object, **__: object) -> None:
        raise DatabaseError("gone")

    monkeypatch.setattr(database, "run", away)
    await asyncio.sleep(TTL_S)
    assert (await keys.identify(f"Bearer {key}")).scopes == {"inference"}
    with pytest.raises(DatabaseError):
        await keys.identify(f"Bearer {other}")


async def test_a_known_key_costs_a_fraction_of_a_millisecond(tmp_path: Path) -> None:
    database = Database(f"sqlite:///{tmp_path / 'everloop.db'}")
    database.migrate()
    _, key = add_key(database, "inference")
    keys = book(database, revoked_within_s=600.0, last_known_s=600.0)
    await keys.identify(f"Bearer {key}")
    started = time.process_time()
    for _ in range(1000):
        await keys.identify(f"Bearer {key}")
    assert time.process_time() - started < 0.2
    await keys.close()
    database.close()


async def test_the_last_use_is_written_once_a_minute_beside_the_requests(
    database: Database,
) -> None:
    key_id, _ = add_key(database, "inference")
    uses = LastUse(database, pause_s=0.01)
    uses.note(key_id, 120.0)
    uses.note(key_id, 179.0)
    await uses.close()
    assert used(database, key_id) == 120
    with database.session() as session:
        session.execute(update(ApiKey).values(last_used_at=60))
    uses.note(key_id, 179.0)  # known: nothing is written
    await uses.close()
    assert used(database, key_id) == 60
    uses.note(key_id, 181.0)
    await uses.close()
    assert used(database, key_id) == 180


async def test_another_replica_s_later_use_stays(database: Database) -> None:
    key_id, _ = add_key(database, "inference")
    with database.session() as session:
        session.execute(update(ApiKey).values(last_used_at=240))
    uses = LastUse(database, pause_s=0.01)
    uses.note(key_id, 180.0)
    await uses.close()
    assert used(database, key_id) == 240


async def test_a_use_that_cannot_be_written_costs_nothing_but_itself(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    key_id, _ = add_key(database, "inference")
    uses = LastUse(database, pause_s=0.01)

    async def away(*_: object, **__: object) -> None:
        raise DatabaseError("gone")

    with monkeypatch.context() as patch:
        patch.setattr(database, "run", away)
        uses.note(key_id, 120.0)
        await uses.close()
    assert used(database, key_id) is None
    uses.note(key_id, 121.0)
    await uses.close()
    assert used(database, key_id) == 120


def used(database: Database, key_id: str) -> int | None:
    with database.session(read_only=True) as session:
        return session.get_one(ApiKey, key_id).last_used_at
