"""Bringing a backup back: bytes, then passages, then the records, which make the rest count."""

from collections.abc import Callable
from dataclasses import asdict, dataclass
from functools import partial
from itertools import islice
from typing import Any, Final

from cluster.backup.contents import content_key, digest_of
from cluster.backup.deletions import Deletions, share_ledger
from cluster.backup.making import Report
from cluster.backup.passages import Passages, running_milvus, scratch_file
from cluster.backup.place import Manifest, find_backup, lines_of, open_place
from cluster.backup.rows import count_rows, drop_tables, tables_of, write_rows
from cluster.backup.verifying import check_backup
from cluster.database import Database
from cluster.errors import BackupError
from cluster.launch.processes import cluster_id, marked_processes
from cluster.settings import Settings
from cluster.storage import ByteStore

__all__ = ["Restored", "restore_backup"]

Prepare = Callable[[str, str, int], None]
"""`(uri, collection, dimension)`: make the collection as those who search it want it."""
_SAMPLES: Final = 20


@dataclass(frozen=True, slots=True)
class Restored:
    """What was brought back."""

    id: str
    rows: int
    objects: int
    passages: int
    left_out: dict[str, Any]
    """What was deleted since the backup, by kind."""
    missing: list[str]
    """What the backup itself lacks."""

    def as_json(self) -> dict[str, Any]:
        """For `--json`."""
        return asdict(self)


def restore_backup(
    settings: Settings,
    where: str,
    *,
    name: str | None,
    replace: bool,
    prepare: Prepare,
    report: Report,
) -> Restored:
    """Restore the backup `name`, by default the newest one, where nothing runs.

    Raises BackupError before anything is changed where a checksum is wrong, the system runs, or
    there is something already and `replace` is False. When it is cut off later, what there is
    counts as something: it is restored again with `replace`.
    """
    if marked_processes(cluster_id(settings.data_dir)):
        raise BackupError("Everloop runs on these data.", fix="Stop it with `everloop down`.")
    place = open_place(where, settings)
    manifest = find_backup(place, name)
    check_backup(place, manifest, report)
    here = ByteStore(settings.storage_url, settings.storage.options)
    database = Database(settings.database_url, pool_size=1)
    try:
        with running_milvus(settings) as uri:
            milvus = Passages(uri, token=settings.milvus.token)
            try:
                _make_room(settings, database, here, milvus, place, replace=replace)
                deleted = _deletions(place, manifest)
                objects = _bring_bytes(place, manifest, here, deleted, report)
                passages = _bring_passages(place, manifest, milvus, prepare, deleted, report)
            finally:
                milvus.close()
        rows = _bring_rows(place, manifest, database, deleted, report)
    finally:
        database.close()
    return Restored(manifest.id, rows, objects, passages, dict(deleted.report()), manifest.missing)


def _make_room(
    settings: Settings,
    database: Database,
    here: ByteStore,
    milvus: Passages,
    place: ByteStore,
    *,
    replace: bool,
) -> None:
    old, collections = here.objects(), milvus.collections()
    there = [f"{len(old)} objects in {here.url}"] if old else []
    there += [f"passages in {', '.join(collections)}"] if collections else []
    there += [f"records in {database.url}"] if database.schema() is not None else []
    if there and not replace:
        raise BackupError(
            f"There is something already: {'; '.join(there)}.",
            fix="Restore into an empty data folder, or replace all of it with `--replace`.",
        )
    share_ledger(here, place)
    if database.schema() is not None:
        with database.connection() as connection:
            drop_tables(connection)
    milvus.drop()
    for one in old:
        here.delete(one.key)


def _deletions(place: ByteStore, manifest: Manifest) -> Deletions:
    """What the ledger says, asked of the records that name bytes."""
    deleted = Deletions.since(place, manifest.made_at)
    for table in ("files", "vector_store_files"):
        for row in lines_of(place, manifest.tables[table].key):
            deleted.has_row(table, row)
    return deleted


def _bring_bytes(
    place: ByteStore, manifest: Manifest, here: ByteStore, deleted: Deletions, report: Report
) -> int:
    written: dict[str, str] = {}
    for key, _size, digest, _stamp in lines_of(place, manifest.contents.key):
        if deleted.has_key(key):
            continue
        if len(written) % 100 == 0:
            report(f"bytes: {len(written)} of {manifest.contents.count} objects")
        if here.put(key, place.chunks(content_key(digest))).sha256 != digest:
            raise BackupError(f"{content_key(digest)} changed while it was read.")
        written[key] = digest
    for key, digest in islice(written.items(), _SAMPLES):
        if digest_of(here, key) != digest:
            raise BackupError(f"{here.url} gave back other bytes of {key} than were written.")
    return len(written)


def _bring_passages(
    place: ByteStore,
    manifest: Manifest,
    milvus: Passages,
    prepare: Prepare,
    deleted: Deletions,
    report: Report,
) -> int:
    total = 0
    for collection, part in manifest.passages.items():
        report(f"passages of {collection}")
        with scratch_file() as path:
            with path.open("wb") as file:
                for piece in place.chunks(part.key):
                    file.write(piece)
            written = milvus.read_from(
                path, collection, prepare, lambda row: not deleted.has_passage(row)
            )
        if written and (found := milvus.count(collection)) != written:
            raise BackupError(f"{collection} has {found} passages; {written} were written.")
        total += written
    return total


def _bring_rows(
    place: ByteStore, manifest: Manifest, database: Database, deleted: Deletions, report: Report
) -> int:
    """At the schema of the backup, and from there forward to ours."""
    database.migrate(manifest.revision)
    total = 0
    with database.connection() as connection:
        tables = tables_of(connection)
        if database.is_sqlite:
            connection.exec_driver_sql("PRAGMA defer_foreign_keys = ON")
        for table in reversed(tables):
            connection.execute(table.delete())  # what the migrations themselves put there
        for table in tables:
            report(f"records of {table.name}")
            if (part := manifest.tables.get(table.name)) is None:
                continue
            rows = lines_of(place, part.key)

            written = write_rows(connection, table, rows, partial(deleted.restored, table.name))
            if count_rows(connection, table) != written:
                raise BackupError(f"{table.name} has other rows than were written.")
            total += written
    database.migrate()
    return total
