"""What was read last goes on counting while the database does not answer."""

import asyncio

import pytest

from cluster.errors import DatabaseError
from cluster.tenancy import acting_in, acting_project
from deployments import last_known
from deployments.last_known import LastKnown


class Records:
    """Says what `value` is, or fails, or hangs until `go`."""

    def __init__(self) -> None:
        self.value: str | None = "v1"
        self.down = False
        self.asked = 0
        self.go = asyncio.Event()
        self.go.set()
        self.begun = asyncio.Event()

    async def read(self, key: str) -> str | None:
        self.asked += 1
        self.begun.set()
        value = self.value
        await self.go.wait()
        if self.down:
            raise DatabaseError(f"{key}: the records are down")
        return value


class Clock:
    """A clock that is set by hand."""

    now = 0.0

    def __call__(self) -> float:
        return self.now


@pytest.fixture
def clock() -> Clock:
    """At 0."""
    return Clock()


@pytest.fixture
async def records() -> Records:
    """They answer."""
    return Records()


@pytest.fixture
def known(records: Records, clock: Clock) -> LastKnown[str]:
    """Over the records; items count for 1 s, and for 100 s while they are down."""
    return LastKnown(records.read, ttl_s=1.0, stale_s=100.0, clock=clock)


async def test_it_is_read_anew_once_its_time_is_over(
    known: LastKnown[str], records: Records, clock: Clock
) -> None:
    assert await known.get("a") == "v1"
    records.value = "v2"
    clock.now = 0.9
    assert await known.get("a") == "v1"
    clock.now = 1.0
    assert await known.get("a") == "v2", "the first to ask after it has the new one"
    assert records.asked == 2


async def test_while_the_records_are_down_the_last_one_counts_for_a_while(
    known: LastKnown[str], records: Records, clock: Clock
) -> None:
    await known.get("a")
    records.down = True
    clock.now = 99.9
    assert await known.get("a") == "v1"
    clock.now = 100.0
    with pytest.raises(DatabaseError):
        await known.get("a")


async def test_what_was_never_read_is_an_error_while_they_are_down(
    known: LastKnown[str], records: Records
) -> None:
    records.down = True
    with pytest.raises(DatabaseError):
        await known.get("a")


async def test_nobody_waits_for_records_that_hang(
    known: LastKnown[str], records: Records, clock: Clock, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(last_known, "_PATIENCE_S", 0.01)
    await known.get("a")
    records.go.clear()
    records.value = "v2"
    clock.now = 2.0
    assert await known.get("a") == "v1"
    asked = records.asked
    for _ in range(100):
        assert await known.get("a") == "v1"
    assert records.asked == asked, "one question is under way, no more are put"
    records.go.set()
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    assert await known.get("a") == "v2"


async def test_records_that_fail_are_asked_once_a_second_in_the_background(
    known: LastKnown[str], records: Records, clock: Clock
) -> None:
    await known.get("a")
    records.down = True
    clock.now = 2.0
    await known.get("a")
    asked = records.asked
    clock.now = 2.9
    await known.get("a")
    assert records.asked == asked
    records.down, records.value = False, "v2"
    clock.now = 3.0
    assert await known.get("a") == "v1", "it does not wait for the answer"
    await asyncio.sleep(0)
    assert await known.get("a") == "v2"


async def test_what_was_being_read_when_it_was_dropped_does_not_count(
    known: LastKnown[str], records: Records
) -> None:
    records.go.clear()
    early = asyncio.create_task(known.get("a"))
    await records.begun.wait()
    records.value = "v2"
    known.drop("a")
    records.go.set()
    assert await early == "v1"
    assert await known.get("a") == "v2"


async def test_what_there_is_no_more_is_forgotten(
    known: LastKnown[str], records: Records, clock: Clock
) -> None:
    await known.get("a")
    records.value = None
    clock.now = 1.0
    assert await known.get("a") is None


async def test_each_project_knows_its_own(clock: Clock) -> None:
    asked: list[str] = []

    async def read(key: str) -> str:
        asked.append(f"{acting_project()}/{key}")
        return asked[-1]

    known = LastKnown(read, ttl_s=1.0, stale_s=100.0, clock=clock)
    for project in ("proj_a", "proj_b", "proj_a"):
        with acting_in(project):
            assert await known.get("assistant") == f"{project}/assistant"
    assert asked == ["proj_a/assistant", "proj_b/assistant"]
    with acting_in("proj_a"):
        known.drop("assistant")
        await known.get("assistant")
    with acting_in("proj_b"):
        await known.get("assistant")
    assert asked[2:] == ["proj_a/assistant"]
