"""What stands in columns on a page and is no table: lists, contents, formulas, listings, prose."""

import re
from collections.abc import Sequence
from itertools import pairwise

from ingestion.loaders.pdf_lines import Word

__all__ = [
    "LEADER",
    "is_code",
    "is_contents",
    "is_formula",
    "is_list",
    "is_numbering",
    "is_prose",
    "is_running",
]

LEADER = re.compile(r"(?:[._·…]\s?){4,}|…")
"""Dots from a title to its page, or a line to write on."""
_MARKER = re.compile(r"[•▪◦‣●○*–—-]|\(?(?:\d{1,3}|[a-zA-Z]|[ivxIVX]{1,4})[.)]?|\d+(?:\.\d+)+\.?")
_PAGE = re.compile(r"\d{1,4}|\(\d{1,4}(?:\.\d{1,3})?[a-z]?\)")
_INTEGER = re.compile(r"\d+")
_MOST_LOWER = 0.3
"""Lines of a paragraph begin with a small letter more often than cells do."""
_SHORT_WORDS = 3
_EVEN = 0.03
_OFF_RASTER = 0.08


def is_list(columns: Sequence[Sequence[str]]) -> bool:
    """Tell whether these columns are items behind their numbers or bullets."""
    return len(columns) == 2 and all(_MARKER.fullmatch(text) for text in columns[0] if text)


def is_numbering(column: Sequence[str]) -> bool:
    """Tell whether a column counts the items beside it: 1. 2. 3., (a) (b) (c), or 4 5 6."""
    if not all(map(_MARKER.fullmatch, column)):
        return False
    if any(text.endswith((".", ")")) for text in column):
        return True
    numbers = [int(text) for text in column if text.isdecimal()]
    return len(numbers) == len(column) and all(b == a + 1 for a, b in pairwise(numbers))


def is_contents(columns: Sequence[Sequence[str]]) -> bool:
    """Tell whether these columns are titles with their pages, or formulas with their numbers."""
    filled = [text for text in columns[-1] if text]
    numbers = [tuple(map(int, _INTEGER.findall(text))) for text in filled]
    return all(map(_PAGE.fullmatch, filled)) and numbers == sorted(numbers)


def is_formula(columns: Sequence[Sequence[str]]) -> bool:
    """Tell whether most rows have a cell that goes on from an equals sign."""
    rows = [*zip(*columns, strict=True)]
    return 2 * sum(any(text.startswith("=") for text in row) for row in rows) >= len(rows)


def is_code(words: Sequence[Word]) -> bool:
    """Tell whether words stand on a raster, all letters of one width, as in listings."""
    widths = [(word.x1 - word.x0) / len(word.text) for word in words]
    left, pitch = min(word.x0 for word in words), max(widths)
    steps = [(word.x0 - left) / pitch for word in words] if pitch > 0 else []
    return min(widths) >= (1 - _EVEN) * pitch and all(
        abs(step - round(step)) <= _OFF_RASTER for step in steps
    )


def is_running(cells: Sequence[str]) -> bool:
    """Tell whether the longer ones of these cells are lines of running text."""
    long = [text for text in cells if text.count(" ") >= _SHORT_WORDS]
    return sum(text[0].islower() for text in long) > _MOST_LOWER * len(long)


def is_prose(column: Sequence[str], lines: set[int], table: set[int], boxes: Sequence[int]) -> bool:
    """Tell whether a column of long cells is a part of the page's running text.

    `lines` are those of the column, `table` those of all columns, and `boxes` has the text box of
    each line of the page: prose goes on above or below the rows.
    """
    own = {boxes[line] for line in lines}
    return is_running(column) or any(
        box in own and line not in table for line, box in enumerate(boxes)
    )
