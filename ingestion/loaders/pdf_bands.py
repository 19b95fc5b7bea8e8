"""The rows of a table between two of its rules.

Many tables have a rule under the head and at the end only.
"""

import re
from bisect import bisect_right
from collections import Counter
from collections.abc import Sequence
from itertools import pairwise

from ingestion.loaders.pdf_lines import Word, baselines

__all__ = ["NUMBER", "Matrix", "split_band"]

Matrix = list[list[list[Word]]]
"""Rows of cells of words, as many cells in each row as there are columns."""

NUMBER = re.compile(r"[-+−–(<>≤≥~±]?\s?[$€£¥]?\s?[\d.,]*\d.{0,12}")
"""Text that begins with a number: a measure, a date, a time."""
_PURE = re.compile(r"[-+−–(]?[$€£¥]?[\d.,]*\d[%)]?")
_SPACE = 0.3
"""Of the type size."""
_SHORT_WORDS = 4

_Column = dict[int, list[Word]]
"""The words of a column on each line of the band."""


def split_band(
    band: Sequence[list[Word]], widths: Sequence[float], least: int = 2
) -> Matrix | None:
    """Return the rows of a band, given its words and the room for a line in each column, in points.

    A cell may have several lines, and a band several rows. Where both may be, the answer is None.
    Fewer than `least` lines are one row.
    """
    lines = baselines([word for cell in band for word in cell])
    if len(lines) < least:
        return [list(band)]
    at = {word: number for number, line in enumerate(lines) for word in line}
    columns: list[_Column] = []
    for cell in band:
        columns.append({})
        for word in cell:
            columns[-1].setdefault(at[word], []).append(word)
    starts = sorted(_starts(columns, widths) | {0})
    matrix: Matrix = [[[] for _ in band] for _ in starts]
    for number, column in enumerate(columns):
        for line, words in sorted(column.items()):
            matrix[bisect_right(starts, line) - 1][number] += words
    for row in matrix:
        depths = [len({at[word] for word in cell}) for cell in row if cell]
        if len(depths) > 1 and min(depths) > 1:
            return None
    return matrix


def _starts(columns: Sequence[_Column], widths: Sequence[float]) -> set[int]:
    """Return the lines that begin a row where numbers or early line ends show them; else none."""
    filled = [(column, width) for column, width in zip(columns, widths, strict=True) if column]
    if len(filled) < 2 or 0 not in filled[0][0]:
        return set()
    own = frozenset(filled[0][0])
    others = [column for column, _ in filled[1:]]
    numbers = [
        frozenset(column)
        for column, width in filled[1:]
        if _match(column, NUMBER)
        and (len(column) > 2 or len(_early(column, width)) == len(column) - 1 > 0)
    ]
    alike = Counter(frozenset(column) for column in others if _match(column, _PURE))
    shown = [*numbers, *(lines for lines, times in alike.items() if times > 1)]
    short = sum(map(_is_short, (column for column, _ in filled))) >= len(filled) - 1
    if len(others) > 1 and len(own) > 2 and short and {frozenset(each) for each in others} == {own}:
        shown.append(own)
    shown = [lines for lines in shown if lines <= own]
    early, *beside = [_early(column, width) for column, width in filled]
    if shown:
        longest = max(shown, key=len)
        return early | longest
    agreed = [line for line in early if sum(line in lines for lines in beside) > 1]
    return early if short and 2 * len(agreed) > len(early) else set()


def _match(column: _Column, pattern: re.Pattern[str]) -> bool:
    return all(
        pattern.fullmatch(" ".join(word.text for word in words)) for words in column.values()
    )


def _is_short(column: _Column) -> bool:
    return all(len(words) <= _SHORT_WORDS for words in column.values())


def _early(column: _Column, width: float) -> set[int]:
    """Return the lines whose first word would have had room on the line before."""
    ordered = sorted(column.items())
    found = set()
    for (_, before), (number, words) in pairwise(ordered):
        used = max(word.x1 for word in before) - min(word.x0 for word in before)
        if used + _SPACE * words[0].size + words[0].x1 - words[0].x0 <= width:
            found.add(number)
    return found
