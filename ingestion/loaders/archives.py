"""ZIP containers (Office files, EPUB, Notion exports), checked before anything reads them."""

import io
import zipfile
import zlib
from typing import Final

from ingestion.errors import DocumentError
from ingestion.loaders.limits import DocumentLimits

__all__ = ["ArchiveBudget"]

_BLOCK_BYTES: Final = 1024**2
_ENCRYPTED_FLAG: Final = 0x1
_RATIO_FROM_BYTES: Final = 32 * 1024**2


class ArchiveBudget:
    """What an archive and those inside it may still hold."""

    def __init__(self, limits: DocumentLimits) -> None:
        self._limits = limits
        self._entries = 0
        self._bytes = 0

    def check(self, data: bytes, filename: str) -> None:
        """Read every entry of the ZIP `data` once, so that later readers meet no surprise.

        Raises `DocumentError` where an entry is encrypted or damaged, and where the archive, with
        those that were checked before, holds too many entries or expands too far.
        """
        try:
            with zipfile.ZipFile(io.BytesIO(data)) as archive:
                self._check_directory(archive.infolist(), len(data), filename)
                for entry in archive.infolist():
                    _drain(archive, entry)
        except (
            *(zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError),
            *(ValueError, RuntimeError, OverflowError, zipfile.LargeZipFile),
        ) as error:
            raise DocumentError(
                f"{filename!r} is damaged or cut short ({error}).", fix="Upload the complete file."
            ) from error

    def _check_directory(self, entries: list[zipfile.ZipInfo], held: int, filename: str) -> None:
        if any(entry.flag_bits & _ENCRYPTED_FLAG for entry in entries):
            raise DocumentError(
                f"{filename!r} is encrypted with a password.", fix="Upload it without the password."
            )
        limits = self._limits
        expanded = sum(entry.file_size for entry in entries)
        self._entries += len(entries)
        self._bytes += expanded
        if self._entries > limits.archive_entries or self._bytes > limits.expanded_bytes:
            raise DocumentError(
                f"{filename!r} expands to {self._entries} entries of {self._bytes} bytes together; "
                f"{limits.archive_entries} entries and {limits.expanded_bytes} bytes are allowed.",
                fix="Split it.",
            )
        if expanded > max(_RATIO_FROM_BYTES, held * limits.expansion_ratio):
            raise DocumentError(
                f"{filename!r} expands from {held} to {expanded} bytes, more than the "
                f"{limits.expansion_ratio} times allowed.",
                fix="Raise `ingestion.max_expansion_ratio` if it is meant to.",
            )


def _drain(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Expand one entry; `zipfile` stops at its declared size and checks its CRC."""
    with archive.open(entry) as stream:
        while stream.read(_BLOCK_BYTES):
            pass
