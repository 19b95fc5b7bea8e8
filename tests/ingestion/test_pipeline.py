"""One document version from bytes to the records' last word, over a real database."""

import asyncio
from collections.abc import Iterator, Sequence
from pathlib import Path

import pytest

from cluster.database import Database
from cluster.ids import DEFAULT_PROJECT
from cluster.records import VectorStore
from ingestion.changes import Change, Outcome, Progress
from ingestion.errors import DocumentError
from ingestion.parsing import ParserDiedError
from ingestion.stored_text import parse_document, text_key
from tests.fakes.document_path import DocumentPath
from tests.fixtures.databases import database

__all__ = ["database"]

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

TEXT = "The bridge opened in 1932. It carries eight lanes.\n\nTrains cross it every three minutes."


@pytest.fixture
def path(database: Database, tmp_path: Path) -> Iterator[DocumentPath]:
    yield DocumentPath(database, tmp_path)


def long_text(sentences: int) -> str:
    return " ".join(f"Sentence {n} says that item {n} weighs {n} grams." for n in range(sentences))


async def test_a_document_becomes_passages_that_are_found(path: DocumentPath) -> None:
    number = path.attach(path.store(), TEXT)
    await path.ingestor.drain()
    row = path.row(number)
    assert (row.stage, row.live, row.language, row.pages) == ("completed", True, "en", 1)
    assert row.passages == row.passages_done == len(path.index.texts(number)) > 0
    assert row.usage_bytes >= len(TEXT.encode())
    assert set(row.timings_ms) == {"parsing", "chunking", "embedding", "indexing"}
    assert row.completed_at is not None
    assert row.lease_until is None


async def test_the_stored_text_bears_out_every_offset(path: DocumentPath) -> None:
    number = path.attach(path.store(), long_text(40))
    await path.ingestor.drain()
    document = parse_document(path.storage.read(text_key(DEFAULT_PROJECT, number)))
    chunks = [passage.chunk for passage in path.index.passages.values()]
    assert len(chunks) > 3
    assert all(document.text[chunk.start : chunk.end] == chunk.text for chunk in chunks)


async def test_every_stage_is_written_down_in_order(
    path: DocumentPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    seen: list[str] = []
    apply = path.ledger.apply

    async def watched(changes: Sequence[Change]) -> list[Outcome]:
        outcomes = await apply(changes)
        seen.extend(path.row(change.claim.number).stage for change in changes)
        return outcomes

    monkeypatch.setattr(path.ledger, "apply", watched)
    path.attach(path.store(), TEXT)
    await path.ingestor.drain()
    assert seen == ["chunking", "embedding", "indexing", "completed"]


async def test_progress_of_a_large_file_is_written_while_it_runs(
    path: DocumentPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    done: list[int] = []
    apply = path.ledger.apply

    async def watched(changes: Sequence[Change]) -> list[Outcome]:
        done.extend(
            change.values["passages_done"]
            for change in changes
            if isinstance(change, Progress) and "passages_done" in change.values
        )
        return await apply(changes)

    monkeypatch.setattr(path.ledger, "apply", watched)
    number = path.attach(path.store(), long_text(4000))
    await path.ingestor.drain()
    row = path.row(number)
    assert row.passages > 500
    assert any(0 < count < row.passages for count in done)
    assert len(path.index.texts(number)) == row.passages


async def test_the_old_version_is_found_until_the_new_one_is_whole(path: DocumentPath) -> None:
    store = path.store()
    old = path.attach(store, "The fee is ten euros.")
    await path.ingestor.drain()
    new = path.attach(store, "The fee is twelve euros.")
    path.embedder.gate.clear()
    path.embedder.reached.clear()
    work = asyncio.create_task(path.ingestor.drain())
    await path.embedder.reached.wait()
    assert path.row(old).live
    assert not path.row(new).live
    path.embedder.gate.set()
    await work
    replaced = path.row(old)
    assert (replaced.live, replaced.replaced_by) == (False, new)
    assert replaced.deleted_at is not None
    assert path.row(new).live


async def test_a_new_version_that_fails_leaves_the_old_one_alone(path: DocumentPath) -> None:
    store = path.store()
    old = path.attach(store, "The fee is ten euros.")
    await path.ingestor.drain()
    new = path.attach(store, b"\xff\xfe\xfa")
    await path.ingestor.drain()
    assert path.row(old).live
    assert path.row(new).stage == "failed"


async def test_an_older_version_that_ends_later_does_not_come_back(path: DocumentPath) -> None:
    store = path.store()
    old = path.attach(store, "The fee is ten euros.")
    (slow,) = await path.ledger.claim(1, {})
    new = path.attach(store, "The fee is twelve euros.")
    await path.ingestor.drain()
    outcome = await path.pipeline.process(slow)
    assert outcome.replaced == (old,)
    assert (path.row(old).live, path.row(old).replaced_by) == (False, new)
    assert path.row(new).live


async def test_documents_of_one_name_in_one_batch_both_stay(path: DocumentPath) -> None:
    store = path.store()
    batch = path.batch(store)
    numbers = [path.attach(store, f"Report number {n}.", batch_id=batch) for n in range(2)]
    await path.ingestor.drain()
    assert all(path.row(number).live for number in numbers)


async def test_a_bad_file_fails_with_its_code_and_stage_alone(path: DocumentPath) -> None:
    store = path.store()
    bad = path.attach(store, b"\xff\xfe\xfa", "bad.bin")
    good = path.attach(store, TEXT, "good.txt")
    await path.ingestor.drain()
    row = path.row(bad)
    assert (row.stage, row.failed_stage) == ("failed", "parsing")
    assert row.error_code == "unsupported_file"
    assert "'bad.bin' is not text." in (row.error_message or "")
    assert row.deleted_at is None
    assert path.row(good).live


async def test_a_document_without_passages_is_invalid(path: DocumentPath) -> None:
    number = path.attach(path.store(), " \n\n ")
    await path.ingestor.drain()
    row = path.row(number)
    assert (row.stage, row.failed_stage, row.error_code) == ("failed", "chunking", "invalid_file")


async def test_an_unexpected_error_is_told_without_its_inside(
    path: DocumentPath, caplog: pytest.LogCaptureFixture
) -> None:
    path.parser.failures = [RuntimeError("password=hunter2")]
    number = path.attach(path.store(), TEXT)
    await path.ingestor.drain()
    row = path.row(number)
    assert (row.stage, row.error_code) == ("failed", "server_error")
    assert "hunter2" not in (row.error_message or "")
    assert "hunter2" in caplog.text


async def test_a_parser_that_dies_gets_the_file_again(path: DocumentPath) -> None:
    path.parser.failures = [ParserDiedError("The parser died."), ParserDiedError("It died.")]
    number = path.attach(path.store(), TEXT)
    await path.ingestor.drain()
    row = path.row(number)
    assert (row.stage, row.attempts) == ("completed", 3)


async def test_a_file_that_kills_its_parser_each_time_fails(path: DocumentPath) -> None:
    path.parser.failures = [ParserDiedError("The parser died.") for _ in range(3)]
    number = path.attach(path.store(), TEXT)
    await path.ingestor.drain()
    row = path.row(number)
    assert (row.stage, row.failed_stage, row.error_code) == ("failed", "parsing", "server_error")
    assert row.error_message == "The parser died, 3 times while parsing."


async def test_a_milvus_that_is_away_for_a_moment_only_delays(path: DocumentPath) -> None:
    path.index.down = 3
    number = path.attach(path.store(), TEXT)
    await path.ingestor.drain()
    assert path.row(number).stage == "completed"
    assert len(path.pauses) == 3


async def test_an_embedder_that_restarts_only_delays(path: DocumentPath) -> None:
    path.embedder.down = 2
    number = path.attach(path.store(), TEXT)
    await path.ingestor.drain()
    assert path.row(number).stage == "completed"


async def test_a_milvus_that_stays_away_fails_the_file_in_the_end(path: DocumentPath) -> None:
    path.index.down = 10_000
    number = path.attach(path.store(), TEXT)
    await path.ingestor.drain()
    row = path.row(number)
    assert (row.stage, row.failed_stage, row.error_code) == ("failed", "indexing", "server_error")


async def test_a_file_detached_meanwhile_is_not_found_later(path: DocumentPath) -> None:
    number = path.attach(path.store(), TEXT)
    path.index.gate.clear()
    work = asyncio.create_task(path.ingestor.drain())
    await asyncio.to_thread(path.index.reached.wait, 10)
    path.change(number, live=False, deleted_at=1, purged=True)  # purged before the upsert landed
    path.index.gate.set()
    await work
    row = path.row(number)
    assert (row.stage, row.live, row.purged) == ("indexing", False, False)
    await path.ingestor.sweep()
    assert path.index.texts(number) == []
    assert path.row(number).purged
    assert not path.has_text(number)


async def test_a_cancelled_file_stays_cancelled(path: DocumentPath) -> None:
    number = path.attach(path.store(), TEXT)
    path.embedder.gate.clear()
    work = asyncio.create_task(path.ingestor.drain())
    await path.embedder.reached.wait()
    path.change(number, stage="cancelled")
    path.embedder.gate.set()
    await work
    assert (path.row(number).stage, path.row(number).live) == ("cancelled", False)


async def test_nothing_goes_live_in_a_store_deleted_meanwhile(path: DocumentPath) -> None:
    store = path.store()
    number = path.attach(store, TEXT)
    (claim,) = await path.ledger.claim(1, {})
    with path.database.session() as session:
        session.get_one(VectorStore, store).deleted_at = 1
    outcome = await path.pipeline.process(claim)
    assert outcome.status == "cancelled"
    assert not path.row(number).live


async def test_many_small_files_share_calls(path: DocumentPath) -> None:
    store = path.store()
    for n in range(24):
        path.attach(store, f"Note {n} is short.", f"{n}.txt")
    ingestor = path.make_ingestor(max_files=24)
    await ingestor.drain()
    assert (await ingestor.stats()).outcomes == {"completed": 24}
    assert path.embedder.calls < 20  # not one a file; how few depends on timing
    assert path.index.upserts < 20


async def test_a_bad_neighbour_in_a_shared_call_fails_alone(
    path: DocumentPath, monkeypatch: pytest.MonkeyPatch
) -> None:
    embed = path.embedder.embed

    async def picky(texts: Sequence[str], **options: object) -> object:
        if any("poison" in text for text in texts):
            raise DocumentError("Poison.")
        return await embed(texts, priority="bulk")

    monkeypatch.setattr(path.embedder, "embed", picky)
    store = path.store()
    numbers = [
        path.attach(store, "This is poison." if n == 5 else f"Note {n}.", f"{n}.txt")
        for n in range(8)
    ]
    await path.ingestor.drain()
    stages = [path.row(number).stage for number in numbers]
    assert stages == ["failed" if n == 5 else "completed" for n in range(8)]


async def test_sentences_wait_for_an_embedder_that_restarts(path: DocumentPath) -> None:
    strategy = {"type": "semantic", "semantic": {"max_chunk_size_tokens": 40}}
    number = path.attach(path.store(), long_text(12), chunking=strategy)
    path.embedder.down = 2
    await path.ingestor.drain()
    assert path.row(number).stage == "completed"
