"""Whether every byte of a backup is what was written."""

from collections.abc import Callable
from typing import Final

from cluster.backup.contents import content_key, digest_of
from cluster.backup.place import Manifest, lines_of
from cluster.errors import BackupError, StorageError
from cluster.storage import ByteStore

__all__ = ["check_backup"]

_NAMED: Final = 5


def check_backup(place: ByteStore, manifest: Manifest, report: Callable[[str], None]) -> None:
    """Read all of it. Raises BackupError that names what is damaged or missing."""
    wrong: list[str] = []
    for part in manifest.parts:
        report(part.key)
        wrong += _wrong(place, part.key, part.sha256)
    if not wrong:
        digests = dict.fromkeys(row[2] for row in lines_of(place, manifest.contents.key))
        for number, digest in enumerate(digests):
            if number % 100 == 0:
                report(f"bytes: {number} of {len(digests)} objects")
            wrong += _wrong(place, content_key(digest), digest)
    if wrong:
        more = f" and {len(wrong) - _NAMED} more" if len(wrong) > _NAMED else ""
        raise BackupError(
            f"Backup {manifest.id} in {place.url} is not whole: {'; '.join(wrong[:_NAMED])}{more}.",
            fix="Use another backup, named with `--backup`.",
        )


def _wrong(place: ByteStore, key: str, sha256: str) -> list[str]:
    try:
        found = digest_of(place, key)
    except StorageError:
        if place.exists(key):
            raise
        return [f"{key} is missing"]
    return [] if found == sha256 else [f"{key} has another checksum"]
