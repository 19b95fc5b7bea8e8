"""Tables that neither borders nor rules show: only white space keeps their columns apart.

White space also parts the columns of a page, the numbers of a list from its items and two addresses
on a letter. So the rules here are conservative: what might be anything else stays text.
"""

import re
from bisect import bisect_right
from collections.abc import Iterator, Sequence
from statistics import median

from ingestion.loaders.pdf_bands import NUMBER, Matrix
from ingestion.loaders.pdf_lines import Word
from ingestion.loaders.pdf_lookalikes import (
    LEADER,
    is_code,
    is_contents,
    is_formula,
    is_list,
    is_numbering,
    is_prose,
)
from ingestion.loaders.pdf_rows import NEAR, Row, Segment, column_starts, rows_of

__all__ = ["aligned_matrices"]

_LEAST_ROWS = 3
_MOST_PITCH = 2.6
"""Of the type size: from a row to the next."""
_LEADING = 1.35
"""Of the type size: a line this near to the one above may go on with its cell."""
_LEAST_ALIGNED = 0.75
_LEAST_FILLED = 0.6
_SHORT_WORDS = 3
_SHORT_CHARACTERS = 28
_LONGEST_CELL = 90
_LEAST_SHORT = 0.75
_LEAST_NUMBERS = 0.8
_VALUE = re.compile(rf"{NUMBER.pattern}|[-–—✓✗×]|[Nn]/?[Aa]|[Yy]es|[Nn]o")

_Cells = list[list[list[Segment]]]
"""Rows of cells, as many in each row as there are columns."""


def aligned_matrices(words: Sequence[Word], boxes: Sequence[int]) -> Iterator[Matrix]:
    """Yield the tables among the words of a page; `boxes` has the text box of each of its lines."""
    rows = _folded(rows_of(words))
    start = 0
    while start < len(rows):
        end, cells = _run(rows, start)
        if end - start < _LEAST_ROWS:
            start += 1
            continue
        matrix = [[_words(cell) for cell in row] for row in cells]
        if _is_plain_table(cells, matrix, boxes):
            yield matrix
        start = end


def _folded(rows: Sequence[Row]) -> list[Row]:
    """Return the rows, lines that only go on with cells of the row above put to it."""
    folded: list[Row] = []
    for row in rows:
        size = row.size
        above = folded[-1] if folded else None
        if above and above.foot - row.y <= _LEADING * size and _goes_on(above, row, size):
            above.more += row.segments
        else:
            folded.append(row)
    return folded


def _goes_on(above: Row, row: Row, size: float) -> bool:
    starts = [segment.x0 for segment in above.segments[1:]]
    return len(row.segments) <= len(starts) / 2 + 0.5 and all(
        any(abs(segment.x0 - start) <= NEAR * size for start in starts)
        and not _VALUE.fullmatch(segment.text)
        for segment in row.segments
    )


def _run(rows: Sequence[Row], start: int) -> tuple[int, _Cells]:
    """Return the end of the rows from `start` whose segments keep to columns, and their cells."""
    most = start
    while most < len(rows) and _may_go_on(rows, start, most):
        most += 1
    end, step, cells = start, 2, _Cells()
    while step and end < most:  # longer and longer steps, then shorter again
        longer = _cells(rows[start : min(end + step, most)])
        if longer:
            end, cells = start + len(longer), longer
        step = 2 * step if longer and step > 1 else step // 2
    return end, cells


def _may_go_on(rows: Sequence[Row], start: int, end: int) -> bool:
    row = rows[end]
    long = sum(len(segment.words) > 2 * _SHORT_WORDS for segment in row.segments)
    near = end == start or rows[end - 1].foot - row.y <= _MOST_PITCH * row.size
    return near and len(row.segments) > 1 and long < 2


def _cells(rows: Sequence[Row]) -> _Cells:
    """Return the rows by columns; nothing where two segments of a row are in one column."""
    starts = column_starts(rows)
    cells: _Cells = []
    for row in rows:
        cells.append([[] for _ in starts])
        for segment in row.segments:
            cell = cells[-1][bisect_right(starts, segment.x0) - 1]
            if cell:
                return []
            cell.append(segment)
        for segment in row.more:
            cells[-1][bisect_right(starts, segment.x0) - 1].append(segment)
    return cells if len(starts) > 1 else []


def _words(cell: Sequence[Segment]) -> list[Word]:
    return [word for segment in cell for word in segment.words]


def _is_plain_table(cells: _Cells, matrix: Matrix, boxes: Sequence[int]) -> bool:
    """Tell whether rows are short, aligned, and have a column of numbers, as tables do."""
    columns = [[_text(cell) for cell in column] for column in zip(*cells, strict=True)]
    filled = [[text for text in column if text] for column in columns]
    long = [number for number, column in enumerate(filled) if not _is_short(column)]
    table = {word.line for row in matrix for cell in row for word in cell}
    return (
        sum(map(len, filled)) >= _LEAST_FILLED * len(cells) * len(columns)
        and all(_is_aligned(column) for column in zip(*cells, strict=True))
        and len(long) < 2
        and all(len(text) <= _LONGEST_CELL for number in long for text in filled[number])
        and any(map(_has_numbers, columns))
        and not any(LEADER.search(text) for column in filled for text in column)
        and not is_list(columns)
        and not is_contents(columns)
        and not is_formula(columns)
        and not is_code([word for row in matrix for cell in row for word in cell])
        and not any(
            is_prose(filled[number], _lines(matrix, number), table, boxes) for number in long
        )
    )


def _lines(matrix: Matrix, column: int) -> set[int]:
    return {word.line for row in matrix for word in row[column]}


def _text(cell: Sequence[Segment]) -> str:
    return " ".join(segment.text for segment in cell)


def _is_short(column: Sequence[str]) -> bool:
    short = sum(
        len(text) <= _SHORT_CHARACTERS and text.count(" ") < _SHORT_WORDS for text in column
    )
    return short >= _LEAST_SHORT * len(column)


def _is_aligned(column: Sequence[Sequence[Segment]]) -> bool:
    segments = [cell[0] for cell in column if cell]
    tolerance = NEAR * segments[0].size
    ends = (
        [segment.x0 for segment in segments],
        [segment.x1 for segment in segments],
        [(segment.x0 + segment.x1) / 2 for segment in segments],
    )
    return any(
        sum(abs(at - median(places)) <= tolerance for at in places) >= _LEAST_ALIGNED * len(places)
        for places in ends
    )


def _has_numbers(column: Sequence[str]) -> bool:
    """Tell whether what stands under the head is numbers; those that count items are not meant."""
    body = [text for text in column[1:] if text]
    values = sum(_VALUE.fullmatch(text) is not None for text in body)
    numbers = sum(any(map(str.isdigit, text)) for text in body)
    return (
        len(body) > 1
        and values >= _LEAST_NUMBERS * len(body)
        and 2 * numbers >= len(body)
        and not is_numbering(body)
    )
