"""A full disk: a clear error, nothing half-written, nothing acknowledged lost, and on it goes.

The disk is a small tmpfs of our own, for which one must be root.
"""

import subprocess
from collections.abc import Iterator
from pathlib import Path

import httpx2
import pytest
from sqlalchemy import func, select

from cluster.backup.making import make_backup
from cluster.database import Database
from cluster.errors import DatabaseFull, StorageFull
from cluster.records import StoredFile, Trace, VectorStore
from cluster.settings import AccessSettings, Settings, StorageSettings
from cluster.storage import ByteStore
from deployments.gateway.app import create_app
from deployments.tracing.draft import TraceDraft
from deployments.tracing.writer import TraceWriter
from tests.fixtures.gateway import fake_services

MIB = 1024**2


@pytest.fixture
def disk(tmp_path: Path) -> Iterator[Path]:
    """A file system of 4 MiB."""
    folder = tmp_path / "disk"
    folder.mkdir()
    command = ["mount", "-t", "tmpfs", "-o", "size=4m", "tmpfs", str(folder)]
    try:
        mounted = subprocess.run(command, capture_output=True, check=False).returncode == 0
    except FileNotFoundError:
        mounted = False
    if not mounted:
        pytest.skip("file systems cannot be mounted here")
    yield folder
    subprocess.run(["umount", "--lazy", str(folder)], check=True)


def _fill(disk: Path) -> Path:
    path = disk / "filler"
    with pytest.raises(OSError, match="No space"), path.open("wb", buffering=0) as file:
        while file.write(b"x" * 4096) == 4096:
            pass
        raise OSError(28, "No space left")  # a short write is the last one
    return path


def _files(folder: Path) -> list[str]:
    return sorted(path.name for path in folder.rglob("*") if path.is_file())


def test_the_byte_store_keeps_what_it_has_and_nothing_half(disk: Path) -> None:
    store = ByteStore(f"file://{disk / 'files'}")
    store.put("kept", [b"k" * MIB])
    with pytest.raises(StorageFull, match="no space to write large"):
        store.put("large", (b"l" * MIB for _ in range(5)))
    assert _files(disk) == ["kept"]
    assert store.read("kept") == b"k" * MIB
    store.put("large", (b"l" * MIB for _ in range(2)))
    assert store.size("large") == 2 * MIB


def test_sqlite_keeps_every_transaction_that_it_acknowledged(disk: Path) -> None:
    database = Database(f"sqlite:///{disk / 'everloop.db'}", pool_size=1)
    database.migrate()
    filler = _fill(disk)
    with filler.open("r+b") as file:
        file.truncate(filler.stat().st_size - 256 * 1024)
    done = 0
    with pytest.raises(DatabaseFull, match="no space"):
        for number in range(1000):
            with database.session() as session:
                session.add(VectorStore(id=f"vs_{number}", description="d" * 20_000))
            done += 1
    assert 0 < done < 1000
    database.close()
    filler.unlink()
    database = Database(f"sqlite:///{disk / 'everloop.db'}", pool_size=1)
    with database.session() as session:
        assert session.scalar(select(func.count()).select_from(VectorStore)) == done
        session.add(VectorStore(id="vs_after"))
    database.close()


async def test_traces_wait_until_there_is_space_again(disk: Path) -> None:
    database = Database(f"sqlite:///{disk / 'everloop.db'}", pool_size=1)
    database.migrate()
    filler = _fill(disk)
    writer = TraceWriter(database, flush_interval_s=0.01)
    for number in range(50):
        writer.record(TraceDraft(request_id=f"r{number}", route="/", question="q" * 20_000))
    await writer.flush()
    assert (writer.written, writer.dropped) == (0, 0)
    filler.unlink()
    await writer.flush()
    await writer.close()
    with database.session() as session:
        assert session.scalar(select(func.count()).select_from(Trace)) == 50
    assert writer.dropped == 0
    database.close()


@pytest.mark.parametrize("full", ["files", "records"])
async def test_an_upload_is_refused_and_works_once_there_is_space(
    disk: Path, tmp_path: Path, full: str
) -> None:
    where = {"files": tmp_path, "records": tmp_path} | {full: disk}
    settings = Settings(
        data_dir=tmp_path / "data",
        access=AccessSettings(keys="off"),
        storage=StorageSettings(url=f"file://{where['files'] / 'files'}"),
    )
    database = Database(f"sqlite:///{where['records'] / 'everloop.db'}", pool_size=2)
    database.migrate()
    parts = fake_services(settings, database)
    transport = httpx2.ASGITransport(app=create_app(parts))
    async with httpx2.AsyncClient(transport=transport, base_url="http://everloop") as http:
        filler = _fill(disk)

        async def upload() -> httpx2.Response:
            form = {"purpose": "user_data"}
            return await http.post("/v1/files", files={"file": ("a.txt", b"a" * MIB)}, data=form)

        refused = await upload()
        assert refused.status_code == 503, refused.text
        assert refused.json()["error"]["code"] == "storage_full"
        assert "retry-after" in refused.headers
        assert _files(where["files"] / "files") == []
        filler.unlink()
        taken = await upload()
        assert taken.status_code == 200
        assert parts.storage.size(f"proj_default/{taken.json()['id']}") == MIB
    await parts.traces.close()
    with database.session() as session:
        assert session.scalar(select(func.count()).select_from(StoredFile)) == 1
    database.close()


def test_a_backup_that_has_no_room_leaves_no_half_one(disk: Path, tmp_path: Path) -> None:
    settings = Settings(data_dir=tmp_path / "data")
    settings.data_dir.mkdir()
    database = Database(settings.database_url, pool_size=1)
    database.migrate()
    database.close()
    for number in range(6):
        ByteStore(settings.storage_url).put(f"b{number}", [bytes([number]) * MIB])
    with pytest.raises(StorageFull):
        make_backup(settings, str(disk), lambda _said: None)
    assert not [path for path in (disk / "backups").rglob("*") if path.is_file()]
    room = tmp_path / "room"
    assert make_backup(settings, str(room), lambda _said: None).contents.count == 6
