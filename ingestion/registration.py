"""Files on a disk to claimed document versions, for bulk work. Files that are done are skipped."""

import hashlib
import os
from collections.abc import Iterable, Iterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import func, select
from sqlalchemy.orm import Session

from cluster.database import Database
from cluster.ids import new_id
from cluster.records import StoredFile, VectorStore, VectorStoreFile, now
from cluster.storage import ByteStore
from cluster.tenancy import acting_project
from ingestion.changes import WORKING_STAGES, Claim
from ingestion.errors import IngestionError
from ingestion.ledger import Ledger
from ingestion.loaders import FORMATS_BY_EXTENSION

__all__ = ["Found", "Registered", "Registrar", "find_files"]

_PIECE: Final = 1024**2


class Found(NamedTuple):
    """A file to ingest. `source` names the document across runs: its path below the given one."""

    path: Path
    source: str


@dataclass(frozen=True, slots=True)
class Registered:
    """What became of a file: claimed for this job, done already, or in another's hands."""

    found: Found
    status: Literal["claimed", "skipped", "elsewhere", "failed"]
    claim: Claim | None = None
    reason: str = ""


def find_files(paths: Iterable[Path]) -> list[Found]:
    """Return the files among `paths` and below its folders, sorted, each source once.

    In folders only files of known formats count, and nothing hidden. Raises IngestionError for a
    path that is not there.
    """
    found: dict[str, Found] = {}
    for path in paths:
        if path.is_file():
            found[path.name] = Found(path, path.name)
        elif path.is_dir():
            for below in _walk(path):
                source = below.relative_to(path).as_posix()
                found[source] = Found(below, source)
        else:
            raise IngestionError(f"{path} is neither a file nor a folder.")
    return [found[source] for source in sorted(found)]


class Registrar:
    """Stores bytes and claims rows, so that the Ingestor leaves them to the job."""

    def __init__(
        self,
        database: Database,
        storage: ByteStore,
        ledger: Ledger,
        *,
        chunking: dict[str, Any],
        max_file_bytes: int,
        max_files: int,
    ) -> None:
        self._database = database
        self._storage = storage
        self._ledger = ledger
        self._chunking = chunking
        self._max_file_bytes = max_file_bytes
        self._max_files = max_files

    def store(self, name: str) -> str:
        """Return the id of the vector store with this id or name; made where there is none."""
        with self._database.session() as session:
            row = session.scalar(
                select(VectorStore)
                .where(
                    VectorStore.deleted_at.is_(None),
                    (VectorStore.id == name) | (VectorStore.name == name),
                )
                .order_by(VectorStore.created_at.desc())
                .limit(1)
            )
            if row is None:
                row = VectorStore(id=new_id("vs"), name=name)
                session.add(row)
            row.last_active_at = now()
            return row.id

    def register(self, store_id: str, found: Found) -> Registered:
        """Claim one file for this job, unless the store has these very bytes already."""
        try:
            size = found.path.stat().st_size
            if size > self._max_file_bytes:
                return Registered(
                    found,
                    "failed",
                    reason=f"It has {size} bytes; at most {self._max_file_bytes} are allowed.",
                )
            sha256 = _sha256(found.path)
            known = self._known(store_id, found, sha256)
            if known is not None:
                return known
            file_id = new_id("file")
            key = f"{acting_project()}/{file_id}"
            stored = self._storage.put(key, _pieces(found.path))
        except OSError as error:
            return Registered(found, "failed", reason=f"It cannot be read: {error.strerror}.")
        with self._database.session() as session:
            held = session.scalar(
                select(func.count()).where(
                    VectorStoreFile.store_id == store_id, VectorStoreFile.deleted_at.is_(None)
                )
            )
            if (held or 0) >= self._max_files:
                self._storage.delete(key)
                return Registered(
                    found, "failed", reason=f"The store holds {held} files, which is its limit."
                )
            file = StoredFile(
                id=file_id,
                filename=found.path.name,
                purpose="assistants",
                bytes=stored.size,
                sha256=stored.sha256,
                storage_key=key,
            )
            row = VectorStoreFile(
                store_id=store_id,
                file_id=file_id,
                document_key=found.source,
                filename=found.path.name,
                attributes={"source": found.source},
                chunking=dict(self._chunking),
            )
            session.add(file)
            session.flush()
            session.add(row)
            session.flush()
            return Registered(found, "claimed", self._ledger.hold(session, row))

    def _known(self, store_id: str, found: Found, sha256: str) -> Registered | None:
        """Return what there is of these bytes under this name; failures are tried anew."""
        with self._database.session() as session:
            row = session.scalar(
                select(VectorStoreFile)
                .join(StoredFile, StoredFile.id == VectorStoreFile.file_id)
                .where(
                    VectorStoreFile.store_id == store_id,
                    VectorStoreFile.document_key == found.source,
                    VectorStoreFile.deleted_at.is_(None),
                    StoredFile.sha256 == sha256,
                )
                .order_by(VectorStoreFile.number.desc())
                .limit(1)
                .with_for_update(of=VectorStoreFile)
            )
            if row is None:
                return None
            if row.live:
                return Registered(found, "skipped")
            if row.stage == "queued" or self._ledger.is_free(row):
                return Registered(found, "claimed", self._ledger.hold(session, row))
            if row.stage in WORKING_STAGES:
                return Registered(found, "elsewhere", reason="Another worker has it.")
            _give_up(session, row)
            return None


def _give_up(session: Session, row: VectorStoreFile) -> None:
    """Detach a version that failed or was cancelled: a new one takes its place."""
    row.deleted_at = now()
    session.flush()


def _walk(folder: Path) -> Iterator[Path]:
    for place, folders, names in os.walk(folder):
        folders[:] = sorted(name for name in folders if not name.startswith("."))
        for name in sorted(names):
            path = Path(place, name)
            if not name.startswith(".") and path.suffix.lower() in FORMATS_BY_EXTENSION:
                yield path


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(_PIECE):
            yield piece


def _sha256(path: Path) -> str:
    with path.open("rb") as file:
        return hashlib.file_digest(file, "sha256").hexdigest()
