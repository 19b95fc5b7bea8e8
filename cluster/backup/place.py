"""Where backups are, and what one consists of."""

import json
from collections.abc import Iterable, Iterator
from pathlib import Path
from typing import Any, Final
from zlib import compressobj, decompressobj

from pydantic import BaseModel, ValidationError

from cluster.errors import BackupError
from cluster.settings import Settings
from cluster.storage import ByteStore

__all__ = ["Manifest", "Part", "find_backup", "lines_of", "open_place", "packed"]

_GZIP: Final = 31
"""zlib's number for gzip's format."""
_MANIFEST: Final = "manifest.json"


class Part(BaseModel):
    """One object of a backup."""

    key: str
    size: int
    sha256: str
    count: int
    """Rows, passages or objects."""


class Manifest(BaseModel):
    """What a backup consists of. A backup without one is none."""

    id: str
    made_at: int
    """When the records were looked at, in seconds since the epoch."""
    everloop: str
    """Version that made it."""
    revision: str
    """Of the records' schema."""
    tables: dict[str, Part]
    passages: dict[str, Part]
    """By collection."""
    contents: Part
    content_bytes: int
    missing: list[str]
    """What the records name and was not there; deleted while the backup was made."""

    @property
    def parts(self) -> list[Part]:
        """Every part."""
        return [*self.tables.values(), *self.passages.values(), self.contents]

    def write(self, place: ByteStore) -> None:
        """Make the backup count."""
        key = f"backups/{self.id}/{_MANIFEST}"
        place.put(key, [self.model_dump_json(indent=2).encode()])


def open_place(where: str, settings: Settings) -> ByteStore:
    """Open a folder or URL. Credentials are those of the byte store, where the scheme is its."""
    if "://" not in where:
        return ByteStore(f"file://{Path(where).expanduser().absolute()}")
    same = where.split("://")[0] == settings.storage_url.split("://")[0]
    return ByteStore(where, settings.storage.options if same else None)


def find_backup(place: ByteStore, name: str | None = None) -> Manifest:
    """The backup of this id, by default the newest whole one. Raises BackupError."""
    keys = [one.key for one in place.objects("backups") if one.key.endswith(f"/{_MANIFEST}")]
    ids = sorted(key.split("/")[1] for key in keys)
    if not ids or (name is not None and name not in ids):
        raise BackupError(
            f"{place.url} holds no whole backup{f' {name}' if name else ''}.",
            fix=f"It has {', '.join(ids)}." if ids else "`everloop backup` makes one.",
        )
    found = name or ids[-1]
    try:
        return Manifest.model_validate_json(place.read(f"backups/{found}/{_MANIFEST}"))
    except ValidationError as error:
        raise BackupError(
            f"The manifest of backup {found} in {place.url} is damaged.",
            fix="Restore another backup with `--backup`.",
        ) from error


def packed(rows: Iterable[Any]) -> Iterator[bytes]:
    """Write rows as gzipped JSON lines."""
    squeeze = compressobj(6, wbits=_GZIP)
    for row in rows:
        if piece := squeeze.compress(json.dumps(row, separators=(",", ":")).encode() + b"\n"):
            yield piece
    yield squeeze.flush()


def lines_of(place: ByteStore, key: str) -> Iterator[Any]:
    """Read what `packed` wrote."""
    expand, rest = decompressobj(wbits=_GZIP), b""
    for piece in place.chunks(key):
        *lines, rest = (rest + expand.decompress(piece)).split(b"\n")
        yield from map(json.loads, lines)
