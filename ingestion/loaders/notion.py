"""A Notion export: a ZIP of Markdown, CSV and HTML pages, sometimes with a ZIP inside."""

import io
import re
import zipfile
from collections.abc import Iterable, Iterator
from pathlib import PurePosixPath

from ingestion.errors import DocumentError
from ingestion.loaders.archives import ArchiveBudget
from ingestion.loaders.encodings import decode
from ingestion.loaders.limits import DocumentLimits
from ingestion.loaders.markup import html_pieces, markdown_pieces
from ingestion.loaders.pieces import Piece
from ingestion.loaders.records import csv_pieces

__all__ = ["notion_pieces"]

_PAGE_ID = re.compile(r"[ _-][0-9a-f]{32}(?:_all)?$")
_READERS = {".md": markdown_pieces, ".html": html_pieces, ".csv": csv_pieces}


def notion_pieces(data: bytes, filename: str, limits: DocumentLimits) -> Iterator[Piece]:
    """Yield the pages of the export, each under its name and those of the pages above it.

    Raises `DocumentError` where the archive holds no page, or more than `limits` allow.
    """
    pages = list(_pages(data, filename, ArchiveBudget(limits), limits.archive_nesting))
    if not pages:
        raise DocumentError(
            f"{filename!r} is a ZIP archive without Markdown, HTML or CSV pages.",
            code="unsupported_file",
            fix="Upload a Notion export, or the files inside one by one.",
        )
    names = {path.with_suffix("").as_posix() for path, _ in pages}
    above: list[str] = []
    for path, content in pages:
        if path.suffix == ".csv" and f"{path.with_suffix('').as_posix()}_all" in names:
            continue  # Notion writes a database twice: as filtered, and `_all`
        titles = [_PAGE_ID.sub("", part) for part in path.with_suffix("").parts]
        yield from _title_pieces(titles, above)
        yield from _page_pieces(_READERS[path.suffix](decode(content)), titles)
        above = titles


def _pages(
    data: bytes, filename: str, budget: ArchiveBudget, deeper: int
) -> Iterator[tuple[PurePosixPath, bytes]]:
    budget.check(data, filename)
    with zipfile.ZipFile(io.BytesIO(data)) as archive:
        for entry in sorted(archive.infolist(), key=lambda entry: entry.filename):
            path = PurePosixPath(entry.filename)
            if entry.is_dir() or path.name.startswith(".") or "__MACOSX" in path.parts:
                continue
            if path.suffix == ".zip":
                if deeper == 0:
                    raise DocumentError(
                        f"{filename!r} holds archives within archives, deeper than is allowed.",
                        fix="Unpack it, and upload the files.",
                    )
                inside = f"{filename}/{path}"
                yield from _pages(archive.read(entry), inside, budget, deeper - 1)
            elif path.suffix in _READERS:
                yield path, archive.read(entry)


def _title_pieces(titles: list[str], above: list[str]) -> Iterator[Piece]:
    """Yield the titles on the way to a page that the page before did not stand under."""
    shared = 0
    while shared < min(len(titles) - 1, len(above)) and titles[shared] == above[shared]:
        shared += 1
    for level in range(shared, len(titles)):
        yield Piece("title", titles[level], level=level)


def _page_pieces(pieces: Iterable[Piece], titles: list[str]) -> Iterator[Piece]:
    for number, piece in enumerate(pieces):
        if piece.kind != "title":
            yield piece
        elif number > 0 or piece.text.strip() != titles[-1]:  # a page repeats its own name
            yield Piece("title", piece.text, level=len(titles) + piece.level)
