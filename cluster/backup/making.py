"""Making a backup, while the system works.

The records are looked at first, in one transaction. Whatever they name is written before its
record, so it is there; what is deleted while the rest is copied is noted in `missing`.
"""

import contextlib
from collections.abc import Callable, Iterator
from importlib.metadata import version
from typing import Any, Final

from cluster.backup.contents import copy_contents
from cluster.backup.deletions import remember_place, share_ledger
from cluster.backup.passages import Document, Passages, pieces, running_milvus, scratch_file
from cluster.backup.place import Manifest, Part, open_place, packed
from cluster.backup.rows import Row, read_rows, tables_of
from cluster.database import Database
from cluster.errors import BackupError, EverloopError
from cluster.ids import new_id
from cluster.records import now
from cluster.settings import Settings
from cluster.storage import ByteStore

__all__ = ["Report", "make_backup"]

Report = Callable[[str], None]
"""Told what is being done."""
_DOCUMENTS: Final = "vector_store_files"


class _Named:
    """What rows name, noted as they pass."""

    def __init__(self) -> None:
        self.keys: set[str] = set()
        self.documents: list[Document] = []
        self.passages = 0

    def watch(self, table: str, rows: Iterator[Row]) -> Iterator[Row]:
        for row in rows:
            if table == "files":
                self.keys.add(row["storage_key"])
            elif table == _DOCUMENTS and row["live"]:
                self.documents.append((row["store_id"], row["number"]))
                self.passages += row["passages"]
            yield row


def make_backup(settings: Settings, where: str, report: Report) -> Manifest:
    """Write everything to the place `where`. Raises EverloopError; then there is no backup."""
    place, name = open_place(where, settings), new_id("backup")
    try:
        return _make(settings, where, place, name, report)
    except BaseException:
        with contextlib.suppress(EverloopError):  # without a manifest it counts for nothing anyway
            for one in place.objects(f"backups/{name}"):
                place.delete(one.key)
        raise


def _make(settings: Settings, where: str, place: ByteStore, name: str, report: Report) -> Manifest:
    here = ByteStore(settings.storage_url, settings.storage.options)
    if place.url == here.url or place.url.startswith(f"{here.url}/"):
        raise BackupError(
            f"{place.url} lies in the byte store {here.url}.", fix="Choose another place."
        )
    made_at, named = now(), _Named()
    database = Database(settings.database_url, pool_size=1)
    try:
        database.check()
        revision = database.schema() or ""
        tables = _write_tables(database, place, name, named, report)
    finally:
        database.close()
    contents, size, missing = copy_contents(here, place, name, named.keys, report)
    passages = _write_passages(settings, place, name, named.documents, report)
    if (found := sum(part.count for part in passages.values())) != named.passages:
        missing.append(f"{named.passages - found} of {named.passages} passages")
    manifest = Manifest(
        id=name, made_at=made_at, everloop=version("everloop"), revision=revision, tables=tables,
        passages=passages, contents=contents, content_bytes=size, missing=missing,
    )  # fmt: skip
    remember_place(here, where if "://" in where else place.url)
    share_ledger(here, place)
    manifest.write(place)
    return manifest


def _write_tables(
    database: Database, place: ByteStore, name: str, named: _Named, report: Report
) -> dict[str, Part]:
    parts: dict[str, Part] = {}
    with database.connection(read_only=True) as connection:
        for table in tables_of(connection):
            report(f"records of {table.name}")
            counter = _Counter(named.watch(table.name, read_rows(connection, table)))
            key = f"backups/{name}/records/{table.name}.jsonl.gz"
            stored = place.put(key, packed(counter))
            parts[table.name] = Part(key=key, **stored._asdict(), count=counter.count)
    return parts


def _write_passages(
    settings: Settings, place: ByteStore, name: str, documents: list[Document], report: Report
) -> dict[str, Part]:
    parts: dict[str, Part] = {}
    if not documents:
        return parts
    with running_milvus(settings) as uri:
        milvus = Passages(uri, token=settings.milvus.token, timeout_s=settings.milvus.timeout_s)
        try:
            for collection in milvus.collections():
                report(f"passages of {collection}")
                with scratch_file() as path:
                    count = milvus.write_to(path, collection, documents)
                    key = f"backups/{name}/passages/{collection}.parquet"
                    stored = place.put(key, pieces(path))
                parts[collection] = Part(key=key, **stored._asdict(), count=count)
        finally:
            milvus.close()
    return parts


class _Counter:
    def __init__(self, rows: Iterator[Any]) -> None:
        self._rows = rows
        self.count = 0

    def __iter__(self) -> Iterator[Any]:
        for row in self._rows:
            self.count += 1
            yield row
