"""Files on a disk to claimed rows: done once, resumed, left to whoever has them."""

from pathlib import Path

import pytest

from cluster.database import Database
from cluster.records import VectorStoreFile
from ingestion.changes import Completed
from ingestion.errors import IngestionError
from ingestion.registration import Found, Registrar, find_files
from tests.fakes.document_path import DocumentPath
from tests.fixtures.databases import database

__all__ = ["database"]


@pytest.fixture
def path(database: Database, tmp_path: Path) -> DocumentPath:
    return DocumentPath(database, tmp_path)


@pytest.fixture
def registrar(path: DocumentPath) -> Registrar:
    return Registrar(
        path.database,
        path.storage,
        path.ledger,
        chunking={"type": "auto"},
        max_file_bytes=100,
        max_files=3,
    )


@pytest.fixture
def found(tmp_path: Path) -> Found:
    file = tmp_path / "note.md"
    file.write_text("A note.")
    return Found(file, "notes/note.md")


def test_a_folder_gives_its_readable_files_by_relative_name(tmp_path: Path) -> None:
    for name in ("b/x.md", "a.txt", ".hidden.md", ".git/y.md", "picture.png"):
        (tmp_path / "in" / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / "in" / name).touch()
    assert [file.source for file in find_files([tmp_path / "in"])] == ["a.txt", "b/x.md"]


def test_a_path_that_is_not_there_is_told(tmp_path: Path) -> None:
    with pytest.raises(IngestionError, match="nothing is neither a file nor a folder"):
        find_files([tmp_path / "nothing"])


def test_a_store_is_found_by_name_and_made_once(registrar: Registrar) -> None:
    store = registrar.store("handbook")
    assert registrar.store("handbook") == registrar.store(store) == store


async def test_a_new_file_is_stored_and_claimed_so_that_the_ingestor_leaves_it(
    path: DocumentPath, registrar: Registrar, found: Found
) -> None:
    registered = registrar.register(registrar.store("s"), found)
    assert registered.claim is not None
    row = path.row(registered.claim.number)
    assert (row.stage, row.document_key, row.attributes) == (
        "parsing",
        "notes/note.md",
        {"source": "notes/note.md"},
    )
    assert path.storage.read(registered.claim.storage_key) == b"A note."
    assert await path.ledger.claim(5, {}) == []
    assert await path.ledger.recover(3) == 0


async def test_a_file_that_is_done_is_skipped_until_it_changes(
    path: DocumentPath, registrar: Registrar, found: Found
) -> None:
    store = registrar.store("s")
    first = registrar.register(store, found).claim
    assert first is not None
    await path.ledger.apply([Completed(first)])
    assert registrar.register(store, found).status == "skipped"
    found.path.write_text("Another note.")
    second = registrar.register(store, found).claim
    assert second is not None
    await path.ledger.apply([Completed(second)])
    assert path.row(first.number).replaced_by == second.number


async def test_a_file_in_other_hands_is_left_there(registrar: Registrar, found: Found) -> None:
    store = registrar.store("s")
    assert registrar.register(store, found).status == "claimed"
    assert registrar.register(store, found).status == "elsewhere"


async def test_a_file_whose_job_died_is_taken_over(
    path: DocumentPath, registrar: Registrar, found: Found
) -> None:
    store = registrar.store("s")
    first = registrar.register(store, found).claim
    assert first is not None
    await path.ledger.release([first])
    second = registrar.register(store, found).claim
    assert second is not None
    assert (second.number, second.attempt) == (first.number, first.attempt + 1)


def test_a_file_that_failed_is_tried_anew(
    path: DocumentPath, registrar: Registrar, found: Found
) -> None:
    store = registrar.store("s")
    first = registrar.register(store, found).claim
    assert first is not None
    path.change(first.number, stage="failed")
    second = registrar.register(store, found).claim
    assert second is not None
    assert second.number != first.number
    assert path.row(first.number).deleted_at is not None


def test_too_large_a_file_and_too_full_a_store_fail_with_a_reason(
    path: DocumentPath, registrar: Registrar, found: Found
) -> None:
    store = registrar.store("s")
    for n in range(3):
        path.attach(store, f"{n}")
    assert "limit" in registrar.register(store, found).reason
    found.path.write_text("x" * 101)
    assert "101 bytes; at most 100" in registrar.register(store, found).reason
    with path.database.session() as session:
        assert session.query(VectorStoreFile).count() == 3
