"""Which format a file has: by its bytes and by its name, and what to say when they disagree."""

import io
import re
import zipfile
from enum import StrEnum
from pathlib import PurePath

from ingestion.errors import DocumentError

__all__ = ["FORMATS_BY_EXTENSION", "Format", "identify"]


class Format(StrEnum):
    """A format that can be read. The value is its MIME type."""

    PDF = "application/pdf"
    DOCX = "application/vnd.openxmlformats-officedocument.wordprocessingml.document"
    PPTX = "application/vnd.openxmlformats-officedocument.presentationml.presentation"
    XLSX = "application/vnd.openxmlformats-officedocument.spreadsheetml.sheet"
    EPUB = "application/epub+zip"
    NOTION = "application/zip"
    HTML = "text/html"
    MARKDOWN = "text/markdown"
    TEXT = "text/plain"
    CSV = "text/csv"
    TSV = "text/tab-separated-values"
    JSON = "application/json"
    JSONL = "application/x-ndjson"
    EMAIL = "message/rfc822"

    @property
    def is_text(self) -> bool:
        """Whether its bytes are text in some encoding."""
        return self in _TEXTUAL


_TEXTUAL = frozenset(
    {Format.HTML, Format.MARKDOWN, Format.TEXT, Format.CSV, Format.TSV, Format.JSON}
    | {Format.JSONL, Format.EMAIL}
)

FORMATS_BY_EXTENSION: dict[str, Format] = {
    ".csv": Format.CSV,
    ".docx": Format.DOCX,
    ".eml": Format.EMAIL,
    ".epub": Format.EPUB,
    ".htm": Format.HTML,
    ".html": Format.HTML,
    ".json": Format.JSON,
    ".jsonl": Format.JSONL,
    ".log": Format.TEXT,
    ".markdown": Format.MARKDOWN,
    ".md": Format.MARKDOWN,
    ".ndjson": Format.JSONL,
    ".pdf": Format.PDF,
    ".pptx": Format.PPTX,
    ".text": Format.TEXT,
    ".tsv": Format.TSV,
    ".txt": Format.TEXT,
    ".xhtml": Format.HTML,
    ".xlsx": Format.XLSX,
    ".zip": Format.NOTION,
}
_NAMES = {
    Format.NOTION: "a ZIP archive",
    Format.HTML: "an HTML page",
    Format.TEXT: "plain text",
    Format.EPUB: "an EPUB book",
    Format.EMAIL: "an e-mail",
    Format.MARKDOWN: "Markdown",
}
_ZIP_PARTS = {
    "word/document.xml": Format.DOCX,
    "ppt/presentation.xml": Format.PPTX,
    "xl/workbook.xml": Format.XLSX,
    "META-INF/container.xml": Format.EPUB,
}
_PDF_REACH = 1024
_TEXT_REACH = 2048
_OLE = b"\xd0\xcf\x11\xe0\xa1\xb1\x1a\xe1"
_HTML = re.compile(
    rb"\s*(?:<\?xml[^>]*>\s*)?(?:<!--.*?-->\s*)*<(?:!doctype\s+html|html|head|body)\b", re.I | re.S
)
_UTF16_MARKS = (b"\xff\xfe", b"\xfe\xff")


def identify(data: bytes, filename: str) -> Format:
    """Return the format that `data` and the extension of `filename` agree on.

    Raises `DocumentError`: empty, encrypted, damaged, mislabelled (naming what was found and what
    was expected) or of a kind that cannot be read (`unsupported_file`).
    """
    if not data.strip(b"\0 \t\r\n\xef\xbb\xbf\xff\xfe"):
        raise DocumentError(f"{filename!r} is empty.", fix="Upload a file with content.")
    extension = PurePath(filename).suffix.lower()
    expected = FORMATS_BY_EXTENSION.get(extension)
    if expected is None and extension and not _is_nameless(extension):
        raise DocumentError(
            f"{filename!r} has the extension {extension!r}, which cannot be read.",
            code="unsupported_file",
            fix=f"Supported: {', '.join(sorted(FORMATS_BY_EXTENSION))}.",
        )
    found = _sniff(data, filename)
    if expected is None:
        return found
    if found == expected or (expected.is_text and found is Format.TEXT):
        return expected
    if found is Format.HTML and expected in (Format.MARKDOWN, Format.TEXT):
        return expected
    raise DocumentError(
        f"{filename!r} is {_name(found)}, but its extension {extension!r} says {_name(expected)}.",
        fix="Give the file the extension of what it is, or upload the file that was meant.",
    )


def _is_nameless(extension: str) -> bool:
    """Tell `2. Overview` or `1706.03762`, which have no extension, from a file type."""
    return not extension[1:].isalnum() or extension[1:].isdigit() or len(extension) > 12


def _name(kind: Format) -> str:
    return _NAMES.get(kind, f"a {kind.name} file")


def _sniff(data: bytes, filename: str) -> Format:
    if b"%PDF-" in data[:_PDF_REACH]:
        return Format.PDF
    if data.startswith(b"PK\x03\x04"):
        return _zip_format(data, filename)
    if data.startswith(_OLE):
        raise _ole_error(data, filename)
    if _HTML.match(data.removeprefix(b"\xef\xbb\xbf")[:_TEXT_REACH]):
        return Format.HTML
    _refuse_binary(data, filename)
    return Format.TEXT


def _zip_format(data: bytes, filename: str) -> Format:
    try:
        with zipfile.ZipFile(io.BytesIO(data)) as archive:
            names = set(archive.namelist())
    except zipfile.BadZipFile as error:
        raise DocumentError(
            f"{filename!r} is damaged or cut short: its ZIP directory cannot be read ({error}).",
            fix="Upload the complete file.",
        ) from error
    for part, kind in _ZIP_PARTS.items():
        if part in names:
            return kind
    return Format.NOTION


def _ole_error(data: bytes, filename: str) -> DocumentError:
    """Explain an OLE container: an encrypted Office file, or one from before 2007."""
    if "EncryptedPackage".encode("utf-16-le") in data:
        return DocumentError(
            f"{filename!r} is encrypted with a password.", fix="Upload it without the password."
        )
    return DocumentError(
        f"{filename!r} is in a binary Office format from before 2007 (.doc, .xls, .ppt, .msg).",
        code="unsupported_file",
        fix="Save it as .docx, .xlsx, .pptx or .eml.",
    )


def _refuse_binary(data: bytes, filename: str) -> None:
    import filetype

    known = filetype.guess(data)
    if known is not None:
        raise DocumentError(
            f"{filename!r} contains {known.mime}, which cannot be read.",
            code="unsupported_file",
            fix="Upload a document with text.",
        )
    sample = data[:_TEXT_REACH]
    controls = sum(byte < 9 or 13 < byte < 27 or 27 < byte < 32 for byte in sample)
    zeros = sample.count(0)
    is_utf16 = sample.startswith(_UTF16_MARKS) or 0.2 < zeros / len(sample) < 0.6
    if not is_utf16 and controls > len(sample) * 0.02:
        raise DocumentError(
            f"{filename!r} contains binary data of an unknown kind.",
            code="unsupported_file",
            fix="Upload a document with text.",
        )
