"""The loop around the pipeline: it survives what happens to it."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable, Sequence
from contextlib import asynccontextmanager, suppress
from pathlib import Path

import pytest

from cluster.database import Database
from deployments.ingestor.ingestor import Ingestor
from ingestion.changes import Change, Outcome
from ingestion.passages import ParsedDocument
from tests.fakes.document_path import DocumentPath, ParagraphParser
from tests.fixtures.databases import database

__all__ = ["database"]

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
TEXT = "The bridge opened in 1932. It carries eight lanes."


@pytest.fixture
def path(database: Database, tmp_path: Path) -> DocumentPath:
    return DocumentPath(database, tmp_path)


@asynccontextmanager
async def running(ingestor: Ingestor) -> AsyncIterator[asyncio.Task[None]]:
    task = asyncio.create_task(ingestor.run())
    try:
        yield task
    finally:
        task.cancel()
        with suppress(asyncio.CancelledError):
            await task


async def eventually(condition: Callable[[], Awaitable[bool] | bool]) -> None:
    async with asyncio.timeout(10):
        while True:
            held = condition()
            if held if isinstance(held, bool) else await held:
                return
            await asyncio.sleep(0.01)


async def crash(path: DocumentPath, stage: str) -> None:
    """Kill the process after `stage` was entered: nothing of it runs on, its lease lapses."""
    apply, reached = path.ledger.apply, asyncio.Event()

    async def dying(changes: Sequence[Change]) -> list[Outcome]:
        outcomes = await apply(changes)
        if any(outcome.status == stage for outcome in outcomes):
            reached.set()
            await asyncio.Event().wait()
        return outcomes

    path.ledger.apply = dying  # type: ignore[method-assign]
    work = asyncio.create_task(path.ingestor.drain())
    await asyncio.wait_for(reached.wait(), 10)
    work.cancel()
    for flight in path.ingestor._flights.values():
        flight.task.cancel()
    path.restart()
    path.now += 60


@pytest.mark.parametrize("stage", ["chunking", "embedding", "indexing", "completed"])
async def test_a_file_survives_a_crash_at_every_stage(path: DocumentPath, stage: str) -> None:
    number = path.attach(path.store(), TEXT)
    await crash(path, stage)
    await path.ingestor.sweep()
    await path.ingestor.drain()
    row = path.row(number)
    assert (row.stage, row.live) == ("completed", True)
    assert len(path.index.texts(number)) == row.passages
    assert len(path.index.passages) == row.passages


def kill_at(parser: ParagraphParser, name: str, died: asyncio.Event) -> None:
    """The process dies of this file: nothing of it runs on, and `died` is set."""
    parse = parser.parse

    async def dying(storage_key: str, filename: str) -> ParsedDocument:
        if filename == name:
            died.set()
        if died.is_set():
            await asyncio.Event().wait()
        return await parse(storage_key, filename)

    parser.parse = dying  # type: ignore[method-assign]


async def test_a_document_that_kills_ingestors_is_given_up_and_its_neighbours_are_not(
    path: DocumentPath,
) -> None:
    store = path.store()
    numbers = [path.attach(store, f"Note {n}.", f"{n}.txt") for n in range(6)]
    poison = numbers[2]
    deaths = 0
    while path.row(poison).stage != "failed":
        assert deaths < 4, "three are allowed"
        died = asyncio.Event()

        kill_at(path.parser, "2.txt", died)
        work = asyncio.create_task(path.ingestor.drain())
        dead = asyncio.create_task(died.wait())
        await asyncio.wait({work, dead}, return_when=asyncio.FIRST_COMPLETED, timeout=10)
        assert died.is_set()
        work.cancel()
        for flight in path.ingestor._flights.values():
            flight.task.cancel()
        deaths += 1
        path.restart()
        path.now += 60
        await path.ingestor.sweep()
    assert deaths == 3
    await path.ingestor.drain()
    stages = {number: path.row(number).stage for number in numbers}
    assert stages == {n: "failed" if n == poison else "completed" for n in numbers}


async def test_a_suspect_that_takes_long_is_alone_for_a_while_only(path: DocumentPath) -> None:
    store = path.store()
    large, other = path.attach(store, "Large.", "large.txt"), path.attach(store, "Other.")
    for number in (large, other):
        path.change(number, deaths=2)
    small = path.attach(store, "Small.")
    over = asyncio.Event()
    parse = path.parser.parse

    async def slow(storage_key: str, filename: str) -> ParsedDocument:
        if filename == "large.txt":
            await over.wait()
        return await parse(storage_key, filename)

    path.parser.parse = slow  # type: ignore[method-assign]
    path.ingestor = path.make_ingestor(alone_s=0.2)
    async with running(path.ingestor):
        await eventually(lambda: path.row(large).stage == "parsing")
        assert path.row(small).stage == "queued"
        await eventually(lambda: path.row(small).stage == "completed")
        assert (path.row(large).stage, path.row(other).stage) == ("parsing", "queued")
        over.set()
        await eventually(lambda: path.row(other).stage == "completed")
    assert path.row(large).stage == "completed"


async def test_a_crash_while_parsing_loses_nothing(path: DocumentPath) -> None:
    number = path.attach(path.store(), TEXT)
    await path.ledger.claim(1, {})  # and then the process dies
    path.restart()
    path.now += 60
    async with running(path.ingestor):
        await eventually(lambda: path.row(number).stage == "completed")
    assert path.row(number).attempts == 2


async def test_a_completed_replacement_survives_a_crash_before_its_purge(
    path: DocumentPath,
) -> None:
    store = path.store()
    old = path.attach(store, "The fee is ten euros.")
    await path.ingestor.drain()
    new = path.attach(store, "The fee is twelve euros.")
    await crash(path, "completed")
    assert (path.row(old).live, path.row(new).live) == (False, True)
    assert path.index.texts(old)
    await path.ingestor.sweep()
    assert path.index.texts(old) == []
    assert path.index.texts(new)


async def test_two_ingestors_share_the_work_and_never_a_row(path: DocumentPath) -> None:
    store = path.store()
    numbers = [path.attach(store, f"Note {n}.", f"{n}.txt") for n in range(12)]
    first, second = path.make_ingestor(max_files=4), path.make_ingestor(max_files=4)
    await asyncio.gather(first.drain(), second.drain())
    outcomes = [(await one.stats()).outcomes for one in (first, second)]
    assert sum(outcome.get("completed", 0) for outcome in outcomes) == 12
    assert all(path.row(number).attempts == 1 for number in numbers)


async def test_a_woken_ingestor_works_and_a_forgotten_one_looks_by_itself(
    path: DocumentPath,
) -> None:
    async with running(path.ingestor):
        store = path.store()
        woken = path.attach(store, TEXT, "a.txt")
        path.ingestor.wake()
        await eventually(lambda: path.row(woken).stage == "completed")
        forgotten = path.attach(store, TEXT, "b.txt")
        await eventually(lambda: path.row(forgotten).stage == "completed")


async def test_what_is_left_in_work_is_released_at_shutdown(path: DocumentPath) -> None:
    number = path.attach(path.store(), TEXT)
    path.embedder.gate.clear()
    async with running(path.ingestor):
        await path.embedder.reached.wait()
    assert (path.row(number).stage, path.row(number).lease_until) == ("embedding", 0)


async def test_purge_stops_the_work_and_deletes_at_once(path: DocumentPath) -> None:
    number = path.attach(path.store(), TEXT)
    path.index.gate.clear()
    async with running(path.ingestor):
        await asyncio.to_thread(path.index.reached.wait, 10)
        path.change(number, live=False, deleted_at=1)
        purge = asyncio.create_task(path.ingestor.purge([number]))
        await asyncio.sleep(0)
        path.index.gate.set()  # the upsert that was under way lands before the deletion
        await purge
        assert path.index.texts(number) == []
        assert path.row(number).purged
        assert (await path.ingestor.stats()).in_flight == {}


async def test_purge_leaves_a_live_document_alone(path: DocumentPath) -> None:
    number = path.attach(path.store(), TEXT)
    await path.ingestor.drain()
    await path.ingestor.purge([number])
    assert path.index.texts(number)


async def test_a_purge_that_milvus_refused_is_done_by_the_sweeper(path: DocumentPath) -> None:
    number = path.attach(path.store(), TEXT)
    await path.ingestor.drain()
    path.change(number, live=False, deleted_at=1)
    path.index.down = 1
    async with running(path.ingestor):
        await eventually(lambda: path.row(number).purged)
    assert path.index.texts(number) == []


async def test_a_burst_is_settled_when_it_ends(path: DocumentPath) -> None:
    text = " ".join(f"Sentence {n} says that item {n} weighs {n} grams." for n in range(1200))
    number = path.attach(path.store(), text)
    async with running(path.ingestor):
        await eventually(lambda: path.index.settled == 1)
    assert path.row(number).stage == "completed"
