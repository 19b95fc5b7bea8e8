"""The bulk job for real: Ray Data, the packaged embedding model, a Milvus Lite server, SQLite."""

import json
from collections.abc import Iterator
from pathlib import Path

import pytest
from sqlalchemy import select

from cluster.database import Database
from cluster.ids import DEFAULT_PROJECT
from cluster.milvus import MilvusLiteServer
from cluster.records import VectorStoreFile
from cluster.settings import load_settings
from ingestion import job
from ingestion.index import PassageIndex, collection_name
from tests.fixtures.ray_cluster import SharedRay
from tests.fixtures.system import free_port
from tests.ingestion.documents import encrypted_pdf, pdf

pytestmark = pytest.mark.integration


@pytest.fixture(scope="module")
def place(shared_ray: SharedRay, tmp_path_factory: pytest.TempPathFactory) -> Iterator[Path]:
    """A data folder with migrated records and a running Milvus, and a Ray to run on."""
    folder = tmp_path_factory.mktemp("job")
    port = free_port()
    with pytest.MonkeyPatch.context() as patch:
        patch.setenv("EVERLOOP_DATA_DIR", str(folder / "data"))
        patch.setenv("EVERLOOP_MILVUS__PORT", str(port))
        database = Database(load_settings().database_url)
        database.migrate()
        database.close()
        milvus = MilvusLiteServer(folder / "milvus", port, log_file=folder / "milvus.log")
        milvus.start()
        with shared_ray.joined("ingestion-job"):
            yield folder
        milvus.stop()


@pytest.fixture(scope="module")
def documents(place: Path) -> Path:
    folder = place / "documents"
    folder.mkdir()
    for n in range(10):
        (folder / f"note-{n}.md").write_text(f"# Note {n}\n\nItem {n} weighs {n} grams.\n")
    (folder / "deep").mkdir()
    (folder / "deep" / "manual.pdf").write_bytes(
        pdf([("BodyText", "First page.")], [("BodyText", "The valve opens at seven bar.")])
    )
    (folder / "deep" / "secret.pdf").write_bytes(
        encrypted_pdf(pdf([("BodyText", "Secret.")]), password="open sesame")
    )
    (folder / "empty.txt").write_text("")
    return folder


def run(capsys: pytest.CaptureFixture[str], *arguments: str) -> tuple[int, dict[str, object]]:
    code = job.main([*arguments, "--store", "handbook", "--json"])
    return code, json.loads(capsys.readouterr().out)


def test_a_folder_is_ingested_once_and_bad_files_are_told(
    place: Path, documents: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    code, report = run(capsys, str(documents))
    assert (code, report["files"]) == (1, {"completed": 11, "failed": 2})
    failures = report["failures"]
    assert isinstance(failures, list)
    assert sorted(failure["source"] for failure in failures) == ["deep/secret.pdf", "empty.txt"]
    assert {failure["stage"] for failure in failures} == {"parsing"}

    settings = load_settings()
    database = Database(settings.database_url)
    with database.session(read_only=True) as session:
        rows = session.scalars(select(VectorStoreFile).where(VectorStoreFile.live)).all()
    index = PassageIndex(settings.milvus_uri, collection_name(settings.embedding.id, 384), 384)
    assert len(rows) == 11
    assert index.count() == sum(row.passages for row in rows) == report["passages"]
    manual = next(row for row in rows if row.document_key == "deep/manual.pdf")
    assert manual.pages == 2

    (documents / "note-3.md").write_text("# Note 3\n\nItem 3 now weighs a ton.\n")
    (documents / "empty.txt").write_text("Not empty any more.\n")
    _, again = run(capsys, str(documents))
    assert again["files"] == {"completed": 2, "failed": 1, "skipped": 10}
    with database.session(read_only=True) as session:
        old = session.scalars(
            select(VectorStoreFile).where(VectorStoreFile.replaced_by.is_not(None))
        ).one()
    assert old.document_key == "note-3.md"
    assert index.count(DEFAULT_PROJECT, old.store_id, [old.number]) == 0
    database.close()


def test_a_wrong_path_is_refused_before_anything_starts(
    place: Path, capsys: pytest.CaptureFixture[str]
) -> None:
    assert job.main([str(place / "nothing"), "--store", "handbook"]) == 2
    assert "neither a file nor a folder" in capsys.readouterr().err
