"""Embedded rows in any order, to Milvus and to the records."""

from pathlib import Path

import pytest

from cluster.database import Database
from ingestion.bulk_stages import PassageRow, failure_row
from ingestion.bulk_writing import BulkWriter, Failure
from tests.fakes.document_path import DocumentPath
from tests.fixtures.databases import database

__all__ = ["database"]

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)
VECTOR = [0.6, 0.8]


@pytest.fixture
def path(database: Database, tmp_path: Path) -> DocumentPath:
    return DocumentPath(database, tmp_path)


async def writer_of(path: DocumentPath, numbers: list[int]) -> BulkWriter:
    claims = await path.ledger.claim(len(numbers), {})
    sources = {claim.number: (claim, f"source {claim.number}") for claim in claims}
    return BulkWriter(path.ledger, lambda dimension: path.index, sources)


def row(number: int, ordinal: int, passages: int) -> PassageRow:
    text = f"passage {ordinal}"
    return {
        **failure_row(number, "", "", ""),
        "passages": passages,
        "ordinal": ordinal,
        "text": text,
        "end": len(text),
        "language": "en",
        "pages": 2,
    }


async def test_a_file_is_completed_with_its_last_passage(path: DocumentPath) -> None:
    number = path.attach(path.store(), "text")
    writer = await writer_of(path, [number])
    await writer.write([row(number, 2, 3), row(number, 0, 3)], [VECTOR, VECTOR])
    assert (path.row(number).stage, path.row(number).passages_done) == ("indexing", 2)
    await writer.write([row(number, 1, 3)], [VECTOR])
    done = path.row(number)
    assert (done.stage, done.live, done.passages, done.pages) == ("completed", True, 3, 2)
    assert path.index.texts(number) == ["passage 0", "passage 1", "passage 2"]
    assert writer.counts == {"completed": 1}
    assert writer.open_claims == []


async def test_a_passage_that_comes_twice_counts_once(path: DocumentPath) -> None:
    number = path.attach(path.store(), "text")
    writer = await writer_of(path, [number])
    await writer.write([row(number, 0, 2), row(number, 0, 2)], [VECTOR, VECTOR])
    assert path.row(number).stage == "indexing"
    assert len(path.index.passages) == 1


async def test_a_bad_file_fails_alone(path: DocumentPath) -> None:
    store = path.store()
    bad, good = path.attach(store, "x", "x.txt"), path.attach(store, "y", "y.txt")
    writer = await writer_of(path, [bad, good])
    broken = failure_row(bad, "parsing", "invalid_file", "It is encrypted.")
    await writer.write([broken, row(good, 0, 1)], [[0.0, 0.0], VECTOR])
    assert (path.row(bad).stage, path.row(bad).error_message) == ("failed", "It is encrypted.")
    assert path.row(good).live
    assert writer.failures == [
        Failure(f"source {bad}", "parsing", "invalid_file", "It is encrypted.")
    ]


async def test_a_file_detached_meanwhile_is_dropped(path: DocumentPath) -> None:
    number = path.attach(path.store(), "text")
    writer = await writer_of(path, [number])
    await writer.write([row(number, 0, 2)], [VECTOR])
    path.change(number, deleted_at=1, live=False, purged=True)
    await writer.keep_leases()
    assert writer.open_claims == []
    assert writer.counts == {"lost": 1}
    assert not path.row(number).purged  # what was written is purged by the next sweep


async def test_unfinished_files_are_given_back(path: DocumentPath) -> None:
    number = path.attach(path.store(), "text")
    writer = await writer_of(path, [number])
    await writer.write([row(number, 0, 2)], [VECTOR])
    await writer.release()
    await path.ingestor.sweep()
    await path.ingestor.drain()
    assert path.row(number).stage == "completed"
