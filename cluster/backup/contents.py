"""The byte store's objects, each kept once by its SHA-256, whichever backups have it."""

import hashlib
from collections.abc import Callable, Iterator

from cluster.backup.place import Part, find_backup, lines_of, packed
from cluster.errors import BackupError, StorageError
from cluster.storage import ByteStore, StoredObject

__all__ = ["content_key", "copy_contents", "digest_of"]


def content_key(sha256: str) -> str:
    """Where a place has the bytes of this digest."""
    return f"contents/{sha256[:2]}/{sha256}"


def digest_of(store: ByteStore, key: str) -> str:
    """SHA-256 of an object, hex."""
    digest = hashlib.sha256()
    for piece in store.chunks(key):
        digest.update(piece)
    return digest.hexdigest()


def copy_contents(
    here: ByteStore, place: ByteStore, name: str, named: set[str], report: Callable[[str], None]
) -> tuple[Part, int, list[str]]:
    """Copy what the place lacks. Returns the list as a part, all bytes, and what was missing.

    An object that the backup before lists with the same key, size and stamp is not read again.
    """
    kept = {one.key.rpartition("/")[2] for one in place.objects("contents")}
    before = _known(place)
    missing: list[str] = []
    rows: list[tuple[str, int, str, str]] = []
    found = here.objects()
    for number, one in enumerate(found):
        if number % 100 == 0:
            report(f"bytes: {number} of {len(found)} objects")
        digest = before.get(one)
        try:
            if digest is None or digest not in kept:
                digest = _copied(here, place, one, kept)
        except StorageError:
            if here.exists(one.key):
                raise
            missing.append(one.key)
            continue
        rows.append((one.key, one.size, digest, one.stamp))
    missing += sorted(named - {row[0] for row in rows} - set(missing))
    key = f"backups/{name}/contents.jsonl.gz"
    stored = place.put(key, packed(rows))
    part = Part(key=key, **stored._asdict(), count=len(rows))
    return part, sum(row[1] for row in rows), missing


def _known(place: ByteStore) -> dict[StoredObject, str]:
    try:
        part = find_backup(place).contents
    except BackupError:
        return {}
    lines: Iterator[tuple[str, int, str, str]] = lines_of(place, part.key)
    return {StoredObject(key, size, stamp): digest for key, size, digest, stamp in lines}


def _copied(here: ByteStore, place: ByteStore, one: StoredObject, kept: set[str]) -> str:
    digest = digest_of(here, one.key)
    if digest not in kept:
        stored = place.put(content_key(digest), here.chunks(one.key))
        if stored.sha256 != digest:
            place.delete(content_key(digest))
            raise StorageError(f"{one.key} changed while it was copied.", fix="Back up again.")
        kept.add(digest)
    return digest
