"""Who works on which document version, on both databases."""

import asyncio
from pathlib import Path

import pytest

from cluster.database import Database
from cluster.ids import DEFAULT_PROJECT
from cluster.records import VectorStore
from ingestion.changes import Completed, Failed, Progress, Returned
from ingestion.ledger import Located
from tests.fakes.document_path import DocumentPath
from tests.fixtures.databases import database

__all__ = ["database"]


@pytest.fixture
def path(database: Database, tmp_path: Path) -> DocumentPath:
    return DocumentPath(database, tmp_path)


async def test_two_claimants_never_get_one_row(path: DocumentPath) -> None:
    store = path.store()
    numbers = {path.attach(store, f"{n}") for n in range(6)}
    parts = await asyncio.gather(*(path.ledger.claim(4, {}) for _ in range(3)))
    parts.append(await path.ledger.claim(4, {}))  # what the three stood in each other's way for
    taken = [claim.number for part in parts for claim in part]
    assert sorted(taken) == sorted(numbers)


async def test_stores_take_turns(path: DocumentPath) -> None:
    large, small = path.store(), path.store()
    crowd = [path.attach(large, f"{n}") for n in range(4)]
    single = path.attach(small, "one")
    claims = await path.ledger.claim(2, {})
    assert [claim.number for claim in claims] == [crowd[0], single]


async def test_a_busy_store_waits_for_an_idle_one(path: DocumentPath) -> None:
    busy, idle = path.store(), path.store()
    path.attach(busy, "first")
    waiting = path.attach(idle, "second")
    (claim,) = await path.ledger.claim(1, {(DEFAULT_PROJECT, busy): 3})
    assert claim.number == waiting


async def test_projects_take_turns_whatever_stores_they_have(path: DocumentPath) -> None:
    for _ in range(3):
        store = path.store(project_id="proj_many")
        for n in range(5):
            path.attach(store, f"{n}", project_id="proj_many")
    single = path.store()
    own = [path.attach(single, f"{n}") for n in range(5)]
    claims = await path.ledger.claim(6, {})
    assert {claim.number for claim in claims} >= set(own[:3])
    assert len({claim.store_id for claim in claims}) == 4, "the stores of one take turns"


async def test_a_row_in_work_is_left_alone_until_its_lease_lapses(path: DocumentPath) -> None:
    number = path.attach(path.store(), "text")
    (claim,) = await path.ledger.claim(1, {})
    path.now += 10
    assert await path.ledger.renew([claim]) == {number}
    path.now += 10
    assert await path.ledger.recover(3) == 0
    path.now += 10
    assert await path.ledger.recover(3) == 1
    assert path.row(number).stage == "queued"


async def test_a_row_leased_before_the_clock_was_set_back_does_not_wait_for_it(
    path: DocumentPath,
) -> None:
    number = path.attach(path.store(), "text")
    path.now += 86_400
    await path.ledger.claim(1, {})
    path.now -= 86_400
    assert await path.ledger.recover(3) == 1
    assert path.row(number).stage == "queued"


async def test_a_released_row_is_free_at_once(path: DocumentPath) -> None:
    path.attach(path.store(), "text")
    (claim,) = await path.ledger.claim(1, {})
    await path.ledger.release([claim])
    assert await path.ledger.recover(3) == 1


async def test_an_owner_that_lost_its_row_can_change_nothing(path: DocumentPath) -> None:
    number = path.attach(path.store(), "text")
    (old,) = await path.ledger.claim(1, {})
    await path.ledger.release([old])
    await path.ledger.recover(3)
    (new,) = await path.ledger.claim(1, {})
    outcomes = await path.ledger.apply(
        [
            Progress(old, "indexing"),
            Completed(old),
            Failed(old, "parsing", "server_error", "no"),
            Returned(old, "parsing", "no", 3),
        ]
    )
    assert [outcome.held for outcome in outcomes] == [False] * 4
    assert await path.ledger.renew([old]) == set()
    row = path.row(number)
    assert (row.stage, row.attempts, row.error_message) == ("parsing", new.attempt, None)


async def test_a_row_tried_too_often_fails_where_it_stood(path: DocumentPath) -> None:
    number = path.attach(path.store(), "text")
    for _ in range(2):
        (claim,) = await path.ledger.claim(1, {}, max_attempts=2)
        await path.ledger.apply([Progress(claim, "embedding")])
        path.now += 60
        await path.ledger.recover(2)
    row = path.row(number)
    assert (row.stage, row.failed_stage, row.error_code) == ("failed", "embedding", "server_error")
    assert row.error_message == (
        "Its worker died, 2 times, the last with no other file in work, while embedding."
    )


async def test_a_row_that_was_given_up_is_nobodys_death(path: DocumentPath) -> None:
    number = path.attach(path.store(), "text")
    for _ in range(5):
        (claim,) = await path.ledger.claim(1, {})
        assert not claim.alone
        await path.ledger.release([claim])
        await path.ledger.recover(3)
    assert (path.row(number).stage, path.row(number).deaths) == ("queued", 0)


async def test_whoever_saw_all_deaths_but_its_last_is_claimed_alone(path: DocumentPath) -> None:
    store = path.store()
    first, second, third = (path.attach(store, f"{n}") for n in range(3))
    for _ in range(2):
        assert len(await path.ledger.claim(2, {})) == 2
        path.now += 60
        assert await path.ledger.recover(3) == 2
    assert await path.ledger.claim(4, {(DEFAULT_PROJECT, store): 1}) == [], (
        "what is in work ends first"
    )
    (suspect,) = await path.ledger.claim(4, {})
    assert (suspect.number, suspect.alone) == (first, True)
    (other,) = await path.ledger.claim(4, {})  # another Ingestor, with nothing in work
    assert (other.number, other.alone) == (second, True)
    (fresh,) = await path.ledger.claim(4, {})
    assert (fresh.number, fresh.alone) == (third, False)
    path.now += 60
    await path.ledger.recover(3)
    stages = [path.row(number).stage for number in (first, second, third)]
    assert stages == ["failed", "failed", "queued"]


async def test_a_suspect_that_others_joined_bears_more_deaths(path: DocumentPath) -> None:
    store = path.store()
    first, second = (path.attach(store, f"{n}") for n in range(2))
    for _ in range(2):
        await path.ledger.claim(2, {})
        path.now += 60
        await path.ledger.recover(3)
    fresh = path.attach(store, "fresh")
    for death in range(3, 7):
        (suspect,) = await path.ledger.claim(4, {})
        assert (suspect.number, suspect.alone) == (first, True)
        await path.ledger.admit(suspect)
        (joined, *_) = await path.ledger.claim(4, {(DEFAULT_PROJECT, store): 1}, suspects=False)
        assert joined.number == fresh, "the second suspect waits"
        await path.ledger.release([joined])
        path.now += 60
        await path.ledger.recover(3)
        assert path.row(first).deaths == death
        assert path.row(first).stage == ("failed" if death == 6 else "queued")
    assert path.row(first).error_message == "Its worker died 6 times, the last while parsing."
    assert (path.row(second).stage, path.row(second).deaths) == ("queued", 2)


async def test_one_try_is_no_verdict_over_whoever_was_beside(path: DocumentPath) -> None:
    store = path.store()
    numbers = [path.attach(store, f"{n}") for n in range(2)]
    await path.ledger.claim(2, {}, max_attempts=1)
    path.now += 60
    await path.ledger.recover(1)
    assert [path.row(number).stage for number in numbers] == ["queued"] * 2
    (claim,) = await path.ledger.claim(2, {}, max_attempts=1)
    assert claim.alone
    path.now += 60
    await path.ledger.recover(1)
    assert [path.row(number).stage for number in numbers] == ["failed", "queued"]


async def test_a_neighbours_deaths_are_no_tries_of_a_file_whose_parser_died(
    path: DocumentPath,
) -> None:
    number = path.attach(path.store(), "text")
    for _ in range(2):
        await path.ledger.claim(1, {})
        path.now += 60
        await path.ledger.recover(3)
    (claim,) = await path.ledger.claim(1, {})
    await path.ledger.apply([Returned(claim, "parsing", "Its parser died", 3)])
    assert path.row(number).stage == "queued"


async def test_two_versions_completed_together_leave_one(path: DocumentPath) -> None:
    store = path.store()
    old, new = path.attach(store, "old"), path.attach(store, "new")
    first, second = await path.ledger.claim(2, {})
    await asyncio.gather(
        path.ledger.apply([Completed(second)]), path.ledger.apply([Completed(first)])
    )
    assert [path.row(number).live for number in (old, new)] == [False, True]


async def test_an_expired_store_loses_its_files(path: DocumentPath) -> None:
    day = 86_400
    now = int(path.now)
    expired = path.store(
        expires_after={"anchor": "last_active_at", "days": 1}, last_active_at=now - day
    )
    active = path.store(
        expires_after={"anchor": "last_active_at", "days": 1}, last_active_at=now - day + 1
    )
    gone, kept = path.attach(expired, "text"), path.attach(active, "text")
    assert await path.ledger.expire_stores() == 1
    assert path.row(gone).deleted_at == now
    assert path.row(kept).deleted_at is None


async def test_what_is_dead_is_purged_and_failures_stay_listed(path: DocumentPath) -> None:
    store, deleted = path.store(), path.store()
    live = path.attach(store, "a", live=True, stage="completed")
    failed = path.attach(store, "b", stage="failed")
    replaced = path.attach(store, "c", stage="completed", deleted_at=1)
    orphan = path.attach(deleted, "d", live=True, stage="completed")
    with path.database.session() as session:
        session.get_one(VectorStore, deleted).deleted_at = 1
    assert await path.ledger.unpurged(10) == [
        Located(DEFAULT_PROJECT, store, failed),
        Located(DEFAULT_PROJECT, store, replaced),
        Located(DEFAULT_PROJECT, deleted, orphan),
    ]
    wanted = [Located(DEFAULT_PROJECT, store, failed)]
    assert await path.ledger.located([live, failed]) == wanted
    await path.ledger.mark_purged([live, failed, replaced, orphan])
    assert await path.ledger.unpurged(10) == []
    assert not path.row(live).purged
    assert path.row(failed).deleted_at is None
    assert not path.row(orphan).live
