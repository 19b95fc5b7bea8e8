"""A job's files: out of the byte store into the run's folder, and results into the store."""

from collections.abc import Iterable
from pathlib import Path
from typing import Any

from cluster.database import Database
from cluster.ids import new_id
from cluster.manifest import sha256_of
from cluster.records import StoredFile, now
from cluster.storage import ByteStore
from cluster.tenancy import acting_project
from training.errors import DatasetError

__all__ = ["JobFiles"]

_RESULTS: str = "fine-tune-results"


class JobFiles:
    """Files by id. Blocking."""

    def __init__(self, database: Database, store: ByteStore) -> None:
        self._database = database
        self._store = store

    def record(self, file_id: str) -> StoredFile:
        """The file's record. Raises DatasetError where it was deleted."""
        with self._database.session(read_only=True) as session:
            row = session.get(StoredFile, file_id)
        if row is None:
            raise _gone(f"The file {file_id} does not exist any more.")
        return row

    def fetch(self, file_id: str, folder: Path) -> Path:
        """Bring the file into `folder`, once; its name keeps the suffix, which says what it is."""
        row = self.record(file_id)
        path = folder / f"{row.id}{Path(row.filename).suffix.lower()[:16]}"
        if path.is_file() and sha256_of(path) == row.sha256:
            return path
        if not self._store.exists(row.storage_key):
            raise _gone(f"The bytes of the file {file_id} are gone from {self._store.url}.")
        folder.mkdir(parents=True, exist_ok=True)
        part = path.with_name(f".{path.name}.part")
        with part.open("wb") as file:
            file.writelines(self._store.chunks(row.storage_key))
        if sha256_of(part) != row.sha256:
            part.unlink()
            raise _gone(f"The bytes of {file_id} in {self._store.url} are not those uploaded.")
        part.replace(path)
        return path

    def lineage(self, file_id: str | None) -> dict[str, Any] | None:
        """What a record of where data came from says of a file."""
        if file_id is None:
            return None
        row = self.record(file_id)
        return {"id": row.id, "filename": row.filename, "sha256": row.sha256, "bytes": row.bytes}

    def keep(self, name: str, chunks: Iterable[bytes]) -> StoredFile:
        """Store a result; the record that is returned is to be added."""
        file_id = new_id("file")
        key = f"{acting_project()}/{file_id}"
        stored = self._store.put(key, chunks)
        return StoredFile(
            id=file_id,
            filename=name,
            purpose=_RESULTS,
            bytes=stored.size,
            sha256=stored.sha256,
            storage_key=key,
            meta={},
            created_at=now(),
        )


def _gone(message: str) -> DatasetError:
    return DatasetError(message, fix="Upload it again and make a new job.")
