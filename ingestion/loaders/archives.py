"""ZIP containers (Office files, EPUB, Notion exports), checked before anything reads them."""

import io
import zipfile
import zlib

from ingestion.errors import DocumentError

__all__ = ["check_archive"]

MAX_ENTRIES = 10_000
MAX_EXPANDED_BYTES = 512 * 1024**2
_BLOCK_BYTES = 1024**2
_ENCRYPTED_FLAG = 0x1


def check_archive(data: bytes, filename: str) -> None:
    """Read every entry of the ZIP `data` once, so that later readers meet no surprise.

    Raises `DocumentError` where an entry is encrypted or damaged, or where the archive holds more
    than `MAX_ENTRIES` entries or expands to more than `MAX_EXPANDED_BYTES`.
    """
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            _check_directory(archive.infolist(), filename)
            for entry in archive.infolist():
                _drain(archive, entry)
    except (zipfile.BadZipFile, zlib.error, EOFError, NotImplementedError, OSError) as error:
        raise DocumentError(
            f"{filename!r} is damaged or cut short ({error}).", fix="Upload the complete file."
        ) from error


def _check_directory(entries: list[zipfile.ZipInfo], filename: str) -> None:
    if any(entry.flag_bits & _ENCRYPTED_FLAG for entry in entries):
        raise DocumentError(
            f"{filename!r} is encrypted with a password.", fix="Upload it without the password."
        )
    expanded = sum(entry.file_size for entry in entries)
    if len(entries) > MAX_ENTRIES or expanded > MAX_EXPANDED_BYTES:
        raise DocumentError(
            f"{filename!r} expands to {len(entries)} entries of {expanded} bytes together; "
            f"{MAX_ENTRIES} entries and {MAX_EXPANDED_BYTES} bytes are allowed.",
            fix="Split it.",
        )


def _drain(archive: zipfile.ZipFile, entry: zipfile.ZipInfo) -> None:
    """Expand one entry; `zipfile` stops at its declared size and checks its CRC."""
    with archive.open(entry) as stream:
        while stream.read(_BLOCK_BYTES):
            pass
