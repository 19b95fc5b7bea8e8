"""A filled system is backed up, wiped and restored: rows, bytes and searches are as they were."""

import json
import socket
from collections.abc import Callable
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import update
from typer.testing import CliRunner

from cluster.backup.deletions import note_deletion
from cluster.backup.making import make_backup
from cluster.backup.passages import Passages, running_milvus
from cluster.backup.place import Manifest, find_backup, open_place
from cluster.backup.restoring import Restored, restore_backup
from cluster.backup.verifying import check_backup
from cluster.cli.app import app
from cluster.database import Database
from cluster.errors import BackupError
from cluster.records import Project, StoredFile, VectorStore, VectorStoreFile
from cluster.settings import DatabaseSettings, MilvusSettings, Settings, StorageSettings
from cluster.storage import ByteStore
from ingestion.analysis import analyse_query
from ingestion.index import PassageIndex
from tests.fixtures.passages import DIMENSION, make_passage, unit
from tests.fixtures.rows import all_rows, fill
from tests.fixtures.system import free_port

pytestmark = pytest.mark.integration
COLLECTION = f"passages_test_{DIMENSION}"
PROJECT = "proj_default"
STORE = "vs_a"


def _quiet(_said: str) -> None:
    return


def _prepare(uri: str, collection: str, dimension: int) -> None:
    index = PassageIndex(uri, collection, dimension)
    index.ensure()
    index.close()


@dataclass
class Everything:
    """A system's stores, and what is in them."""

    settings: Settings

    @property
    def storage(self) -> ByteStore:
        return ByteStore(self.settings.storage_url, self.settings.storage.options)

    def contents(self) -> dict[str, bytes]:
        found = self.storage.objects()
        return {
            one.key: self.storage.read(one.key)
            for one in found
            if not one.key.startswith("backup/")
        }

    def rows(self) -> dict[str, Any]:
        database = Database(self.settings.database_url, pool_size=1)
        try:
            database.check()
            return all_rows(database)
        finally:
            database.close()

    def hits(self) -> list[Any]:
        index = PassageIndex(self.settings.milvus_uri, COLLECTION, DIMENSION)
        try:
            dense = index.search_dense(unit(1, 2), PROJECT, [STORE], 20, with_vectors=True)
            words = index.search_bm25(analyse_query("parental leave", "en"), PROJECT, [STORE], 20)
            return [(hit.id, hit.text, round(hit.score, 5), hit.vector) for hit in dense + words]
        finally:
            index.close()

    def restore(self, where: str, **values: Any) -> Restored:
        options = {"name": None, "replace": False, "prepare": _prepare, "report": _quiet}
        return restore_backup(self.settings, where, **{**options, **values})


@pytest.fixture
def filled(tmp_path: Path, database: Database, own_milvus: str) -> Everything:
    """Rows in every table, bytes, and passages of three documents, of which one was replaced."""
    return _filled(tmp_path, database, own_milvus)


def _filled(
    folder: Path, database: Database, milvus: str, storage: StorageSettings | None = None
) -> Everything:
    url = database._url.render_as_string(hide_password=False)
    everything = Everything(
        Settings(
            data_dir=folder / "data",
            database=DatabaseSettings(url=url),
            storage=storage or StorageSettings(),
            milvus=MilvusSettings(uri=milvus),
        )
    )
    for number in (11, 12, 13):
        everything.storage.put(f"text/{number}.json", [b"text %d" % number])
        everything.storage.put(f"proj_default/file-{number}", [bytes([number]) * 70_000])
    everything.storage.put("proj_default/same", [bytes([11]) * 70_000])
    with database.session() as session:
        session.add(VectorStore(id=STORE))
        session.flush()
        for number in (11, 12, 13):
            session.add(
                StoredFile(id=f"file-{number}", filename="d", purpose="user_data", bytes=70_000,
                           sha256="", storage_key=f"proj_default/file-{number}")
            )  # fmt: skip
            session.add(
                VectorStoreFile(number=number, store_id=STORE, file_id=f"file-{number}",
                                document_key="d", filename="d", live=number != 13, passages=4,
                                stage="completed")
            )  # fmt: skip
    with database.session() as session:
        session.query(Project).delete()
    fill(database)
    with database.session() as session:
        session.execute(
            update(VectorStoreFile).where(VectorStoreFile.number < 10).values(live=False)
        )
        session.execute(
            update(StoredFile).where(~StoredFile.id.startswith("file-"))
            .values(storage_key="proj_default/same")
        )  # fmt: skip
    index = PassageIndex(milvus, COLLECTION, DIMENSION)
    index.drop()
    for number in (11, 12, 13):
        index.upsert(
            [
                make_passage(
                    f"Parental leave {number} is {place} weeks 日本",
                    number=number,
                    ordinal=place,
                    store=STORE,
                    page=place,
                    section=("A",),
                )
                for place in range(4)
            ]
        )
    index.delete(PROJECT, STORE, [13])
    index.settle()
    index.close()
    return everything


def test_what_was_wiped_comes_back_as_it_was(filled: Everything, tmp_path: Path) -> None:
    place = str(tmp_path / "backups")
    before = (filled.rows(), filled.contents(), filled.hits())
    assert len(before[2]) == 16
    made = make_backup(filled.settings, place, _quiet)
    assert made.missing == []
    with pytest.raises(BackupError, match="something already"):
        filled.restore(place)
    assert filled.hits() == before[2]  # and nothing was touched
    done = filled.restore(place, replace=True)
    assert (filled.rows(), filled.contents(), filled.hits()) == before
    assert done.passages == 8
    database = Database(filled.settings.database_url, pool_size=1)
    with database.session() as session:  # numbers go on after the highest one
        session.add(VectorStoreFile(store_id=STORE, file_id="f", document_key="", filename=""))
        session.flush()
    database.close()


@pytest.mark.parametrize("database_url", ["postgres"], indirect=True)
@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_sqlite_and_a_folder_move_to_postgresql_and_s3_by_way_of_s3(
    tmp_path: Path, database: Database, own_milvus: str, database_url: str,
    s3_options: dict[str, Any],
) -> None:  # fmt: skip
    filled = _filled(tmp_path, database, own_milvus)
    before = (filled.rows(), filled.contents(), filled.hits())
    s3 = StorageSettings(url="s3://documents/live", options=s3_options)
    local = filled.settings.model_copy(update={"storage": StorageSettings()})
    make_backup(local, str(tmp_path / "backups"), _quiet)
    target = Everything(
        filled.settings.model_copy(
            update={
                "data_dir": tmp_path / "new",
                "database": DatabaseSettings(url=database_url),
                "storage": s3,
            }
        )
    )
    target.restore(str(tmp_path / "backups"), replace=True)
    assert (target.rows(), target.contents(), target.hits()) == before
    made = make_backup(target.settings, "s3://documents/backups", _quiet)
    target.restore("s3://documents/backups", replace=True, name=made.id)
    assert (target.rows(), target.contents(), target.hits()) == before


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_bytes_that_the_place_has_are_neither_copied_nor_read_again(
    filled: Everything, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    place = tmp_path / "backups"
    make_backup(filled.settings, str(place), _quiet)
    kept = {path: path.stat().st_mtime_ns for path in (place / "contents").rglob("*")}
    assert sum(path.is_file() for path in kept) == 6  # two of seven objects are the same
    filled.storage.put("proj_default/new", [b"new"])
    read: list[str] = []
    chunks = ByteStore.chunks

    def watched(store: ByteStore, key: str) -> Any:
        read.append(key)
        return chunks(store, key)

    monkeypatch.setattr(ByteStore, "chunks", watched)
    second = make_backup(filled.settings, str(place), _quiet)
    data = {key for key in read if key.startswith(("proj_default/", "text/"))}
    assert data == {"proj_default/new"}
    after = {path: path.stat().st_mtime_ns for path in (place / "contents").rglob("*")}
    assert {path: at for path, at in after.items() if path in kept and path.is_file()} == {
        path: at for path, at in kept.items() if path.is_file()
    }
    assert find_backup(open_place(str(place), filled.settings)).id == second.id


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
@pytest.mark.parametrize("part", ["records/files", "passages/", "contents.jsonl", "contents/"])
def test_a_damaged_part_is_named_and_nothing_is_changed(
    filled: Everything, tmp_path: Path, part: str
) -> None:
    place = tmp_path / "backups"
    make_backup(filled.settings, str(place), _quiet)
    before = (filled.rows(), filled.contents(), filled.hits())
    broken = next(p for p in sorted(place.rglob("*")) if p.is_file() and part in str(p))
    data = bytearray(broken.read_bytes())
    data[len(data) // 2] ^= 1
    broken.write_bytes(data)
    with pytest.raises(BackupError, match=broken.name):
        filled.restore(str(place), replace=True)
    broken.unlink()
    with pytest.raises(BackupError, match=f"{broken.name} is missing"):
        filled.restore(str(place), replace=True)
    assert (filled.rows(), filled.contents(), filled.hits()) == before


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_backup_that_was_cut_off_is_none(filled: Everything, tmp_path: Path) -> None:
    place = str(tmp_path / "backups")

    def interrupt(said: str) -> None:
        if said.startswith("passages"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        make_backup(filled.settings, place, interrupt)
    with pytest.raises(BackupError, match="no whole backup"):
        filled.restore(place)


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_restore_that_was_cut_off_is_done_again_with_replace(
    filled: Everything, tmp_path: Path
) -> None:
    place = str(tmp_path / "backups")
    before = (filled.rows(), filled.contents(), filled.hits())
    make_backup(filled.settings, place, _quiet)

    def interrupt(said: str) -> None:
        if said.startswith("records of"):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        filled.restore(place, replace=True, report=interrupt)
    with pytest.raises(BackupError, match="something already"):
        filled.restore(place)
    filled.restore(place, replace=True)
    assert (filled.rows(), filled.contents(), filled.hits()) == before


def test_what_was_deleted_since_stays_deleted(filled: Everything, tmp_path: Path) -> None:
    place = str(tmp_path / "backups")
    make_backup(filled.settings, place, _quiet)
    assert note_deletion(filled.settings, "file", ["file-11"])["noted"] == [f"file://{place}"]
    note_deletion(filled.settings, "project", ["proj_other"])
    done = filled.restore(place, replace=True)
    assert done.left_out == {"file": ["file-11"], "project": ["proj_other"]}
    rows = filled.rows()
    assert "file-11" not in {row["id"] for row in rows["files"]}
    documents = {row["number"]: row for row in rows["vector_store_files"]}
    assert documents.keys() == {1, 11, 12, 13}
    assert not documents[11]["live"]
    assert documents[11]["purged"]
    assert documents[11]["deleted_at"], "it comes back as deleted"
    assert documents[11]["forget_at"], "so what quotes it is blotted out again"
    assert documents[12]["forget_at"] is None
    assert "proj_other" not in json.dumps(rows)
    assert not {"proj_default/file-11", "text/11.json"} & filled.contents().keys()
    assert {hit[1].split()[2] for hit in filled.hits()} == {"12"}


def test_no_restore_brings_back_a_revoked_key_nor_what_was_deleted_over_the_api(
    filled: Everything, tmp_path: Path
) -> None:
    place = str(tmp_path / "backups")
    kept = {"api_keys": "key", "traces": "trace", "responses": "response"}
    before = filled.rows()
    gone = {table: str(before[table][0]["id"]) for table in kept}
    trace = before["responses"][0]["trace_id"]
    make_backup(filled.settings, place, _quiet)
    note_deletion(filled.settings, "trace", [trace])
    filled.restore(place, replace=True)
    rows = filled.rows()
    assert rows["responses"] == before["responses"], "they have an API of their own"
    for table in ("trace_scores", "feedback", "question_vectors"):
        assert trace in {row["trace_id"] for row in before[table]}
        assert trace not in {row["trace_id"] for row in rows[table]}
    for table, kind in kept.items():
        note_deletion(filled.settings, kind, [gone[table]])
    note_deletion(filled.settings, "vector_store", [STORE])
    filled.restore(place, replace=True)
    rows = filled.rows()
    for table, id_ in gone.items():
        assert id_ not in {row["id"] for row in rows[table]}
    [store] = [row for row in rows["vector_stores"] if row["id"] == STORE]
    assert store["deleted_at"]
    assert not any(row["live"] for row in rows["vector_store_files"] if row["store_id"] == STORE)
    assert filled.hits() == []


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_place_out_of_reach_is_told_by_the_next_backup(
    filled: Everything, tmp_path: Path
) -> None:
    place = tmp_path / "backups"
    old = make_backup(filled.settings, str(place), _quiet)
    place.rename(tmp_path / "away")
    place.write_text("not a folder")
    assert note_deletion(filled.settings, "file", ["file-11"])["pending"] == [f"file://{place}"]
    with pytest.raises(ValueError, match="kind is 'nothing'"):
        note_deletion(filled.settings, "nothing", ["x"])
    place.unlink()
    (tmp_path / "away").rename(place)
    done = filled.restore(str(place), replace=True, name=old.id)
    assert done.left_out == {"file": ["file-11"]}


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_an_older_schema_is_brought_forward(filled: Everything, tmp_path: Path) -> None:
    old = Settings(
        data_dir=tmp_path / "old",
        milvus=filled.settings.milvus,
        storage=StorageSettings(url=filled.settings.storage_url),
    )
    database = Database(old.database_url, pool_size=1)
    (tmp_path / "old").mkdir()
    database.migrate("0004")
    before = fill(database)
    place = open_place(str(tmp_path / "backups"), old)
    monkey = pytest.MonkeyPatch()
    monkey.setattr(Database, "check", lambda _self: None)  # as 0004's own program would
    monkey.setattr("cluster.backup.making._write_passages", lambda *_: {})
    made = make_backup(old, str(tmp_path / "backups"), _quiet)
    monkey.undo()
    database.close()
    assert made.revision == "0004"
    check_backup(place, made, _quiet)
    filled.restore(str(tmp_path / "backups"), replace=True)
    after = filled.rows()
    for table, rows in before.items():
        for row, new in zip(rows, after[table], strict=True):
            assert row.items() <= new.items()


def test_the_embedded_milvus_is_started_where_it_does_not_run(tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path, milvus=MilvusSettings(port=free_port()))
    with running_milvus(settings) as uri, running_milvus(settings) as same:
        assert uri == same
        _prepare(uri, COLLECTION, DIMENSION)
        passages = Passages(uri)
        assert passages.collections() == [COLLECTION]
        passages.close()
    with socket.socket() as probe:
        assert probe.connect_ex(("127.0.0.1", settings.milvus.port)) != 0


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_the_commands(filled: Everything, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    settings = filled.settings
    for name, value in (
        ("DATA_DIR", settings.data_dir),
        ("DATABASE__URL", settings.database.url),
        ("MILVUS__URI", settings.milvus.uri),
    ):
        monkeypatch.setenv(f"EVERLOOP_{name}", str(value))
    place = str(tmp_path / "backups")
    run: Callable[..., Any] = CliRunner().invoke
    made = run(app, ["backup", place, "--json"])
    assert made.exit_code == 0, made.output
    manifest = Manifest.model_validate_json(made.stdout)
    verified = run(app, ["backup", "verify", place])
    assert f"Backup {manifest.id} is whole." in verified.stdout
    before = filled.rows()
    refused = run(app, ["restore", place])
    assert refused.exit_code == 1
    assert "--replace" in refused.output
    done = run(app, ["restore", place, "--replace", "--json"])
    assert done.exit_code == 0, done.output
    assert json.loads(done.stdout)["passages"] == 8
    assert filled.rows() == before
