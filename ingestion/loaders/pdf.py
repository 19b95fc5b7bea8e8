"""PDF: paragraphs with their page, headings by their type size.

`unstructured`'s fast strategy reads a PDF with pdfminer and then guesses titles from words. It also
imports torch, onnxruntime and OpenCV for the strategies that are not used (11 s and 500 MB), reads
every page twice, and glues a heading to the paragraph under it. So pdfminer is used here directly:
one reading, and the size and weight of the type say what is a heading. Tables keep their rows.
"""

import io
import re
from collections import Counter
from collections.abc import Iterator

from ingestion.errors import DocumentError
from ingestion.loaders.limits import DocumentLimits
from ingestion.loaders.pdf_lines import Line
from ingestion.loaders.pdf_tables import Table, page_items
from ingestion.loaders.pieces import Piece

__all__ = ["pdf_pieces"]

_TAIL_BYTES = 2048
_MOST_PAGES = DocumentLimits().pages
_LARGER = 1.12
"""A heading's type is at least this much larger than the body's."""
_LONGEST_HEADING = 160
_DEEPEST_LEVEL = 3
_NUMBERED = re.compile(r"(?:\d{1,2}|[A-Z])((?:\.\d{1,2})*)\.?\s+\S")
_BULLET = re.compile(r"\s*(?:[•▪◦‣●○\uf0b7]|[-–*]\s)")
_DIGITS = re.compile(r"\d+")


def pdf_pieces(data: bytes, filename: str, most_pages: int = _MOST_PAGES) -> list[Piece]:
    """Return the paragraphs, list items, headings and table rows of a PDF; pages count from 1.

    Raises `DocumentError`: cut short, encrypted, broken, without any text (a scan), or of more
    pages than `most_pages`.
    """
    if b"%%EOF" not in data[-_TAIL_BYTES:]:
        raise DocumentError(
            f"{filename!r} is cut short: a PDF ends with %%EOF, and this one does not.",
            fix="Upload the complete file.",
        )
    items = _items(data, filename, most_pages)
    if not items:
        raise DocumentError(
            f"{filename!r} has no text that can be extracted: it is probably a scan.",
            fix="Run OCR on it first (ocrmypdf does), then upload the result.",
        )
    return list(_pieces(_without_running_heads(items)))


def _items(data: bytes, filename: str, most_pages: int) -> list[Line | Table]:
    from pdfminer.high_level import extract_pages
    from pdfminer.layout import LAParams
    from pdfminer.pdfdocument import PDFPasswordIncorrect
    from pdfminer.pdfexceptions import PDFException
    from pdfminer.psexceptions import PSException

    items: list[Line | Table] = []
    upper: Table | None = None
    try:
        for number, page in enumerate(extract_pages(io.BytesIO(data), laparams=LAParams()), 1):
            if number > most_pages:
                raise DocumentError(
                    f"{filename!r} has more than the {most_pages} pages allowed.",
                    fix="Split it, or raise `ingestion.max_pages`.",
                )
            found = page_items(page, number, len(items), upper)
            items += found
            upper = next((item for item in found if isinstance(item, Table) and item.at_foot), None)
    except PDFPasswordIncorrect as error:
        raise DocumentError(
            f"{filename!r} is encrypted with a password.", fix="Upload it without the password."
        ) from error
    except (PDFException, PSException, ValueError, TypeError, KeyError, AttributeError) as error:
        # pdfminer lets built-in errors through where a broken file breaks its assumptions.
        raise DocumentError(
            f"{filename!r} is damaged: its content is not as the format says "
            f"({type(error).__name__}).",
            fix="Open it and save it anew as PDF.",
        ) from error
    return items


def _without_running_heads(items: list[Line | Table]) -> list[Line | Table]:
    """Drop what stands in the margin of most pages with nothing changed but its numbers."""
    pages = len({item.page for item in items})
    if pages < 3:
        return items
    seen: dict[str, set[int]] = {}
    for item in items:
        if isinstance(item, Line) and item.in_margin:
            seen.setdefault(_DIGITS.sub("#", item.text.strip()), set()).add(item.page)
    heads = {text for text, on in seen.items() if len(on) >= max(3, pages // 2)}
    return [
        item
        for item in items
        if isinstance(item, Table)
        or not (item.in_margin and _DIGITS.sub("#", item.text.strip()) in heads)
    ]


def _pieces(items: list[Line | Table]) -> Iterator[Piece]:
    lines = [item for item in items if isinstance(item, Line)]
    body = _body_size(lines)
    sizes = sorted({line.size for line in lines if _is_heading(line, body)}, reverse=True)
    pending: list[Line] = []
    for item in items:
        line = item if isinstance(item, Line) and item.text.strip() else None
        if pending and not (line and _continues(pending[-1], line, body)):
            yield _piece(pending, body, sizes)
            pending = []
        if line:
            pending.append(line)
        elif isinstance(item, Table):
            yield from item.pieces()
    if pending:
        yield _piece(pending, body, sizes)


def _body_size(lines: list[Line]) -> float:
    characters: Counter[float] = Counter()
    for line in lines:
        characters[line.size] += line.length
    return characters.most_common(1)[0][0] if characters else 0.0


def _is_heading(line: Line, body: float) -> bool:
    text = line.text.strip()
    if len(text) > _LONGEST_HEADING or not any(map(str.isalpha, text)):
        return False
    if line.size >= body * _LARGER:
        return True
    ends_open = not text.endswith((".", ",", ";", ":", "-"))
    return line.bold and ends_open and line.size >= body * 0.95


def _continues(before: Line, line: Line, body: float) -> bool:
    """Tell whether `line` belongs to the paragraph or heading of the line before it."""
    if before.page != line.page:
        return False
    if _is_heading(before, body) or _is_heading(line, body):
        same_type = before.size == line.size and before.bold == line.bold
        return before.box == line.box and same_type
    return before.box == line.box and not _BULLET.match(line.text)


def _piece(lines: list[Line], body: float, sizes: list[float]) -> Piece:
    text = "".join(line.text for line in lines)
    first = lines[0]
    if _is_heading(first, body) and len(text) <= _LONGEST_HEADING:
        level = sizes.index(first.size)
        if numbered := _NUMBERED.match(text):
            level += numbered.group(1).count(".")
        return Piece("title", text, first.page, min(level, _DEEPEST_LEVEL))
    if _BULLET.match(text):
        return Piece("list", text, first.page)
    return Piece("text", text, first.page)
