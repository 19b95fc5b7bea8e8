"""Tables with rules under their rows, or under head and end only, and no borders at the sides."""

from bisect import bisect_right
from collections.abc import Iterator, Sequence
from itertools import chain, pairwise, zip_longest

from ingestion.loaders.pdf_bands import Matrix, split_band
from ingestion.loaders.pdf_cells import is_table
from ingestion.loaders.pdf_lines import Word, text_of
from ingestion.loaders.pdf_lookalikes import LEADER, is_running
from ingestion.loaders.pdf_rows import FINE_GAP, GAP, Row, column_starts, rows_of
from ingestion.loaders.pdf_rulings import Stack

__all__ = ["stacked_matrices"]

_REMARK = 2.6
"""Of the type size: rules no further apart may have a remark to the rows under it between them."""
_ACROSS = 0.6
"""Of the rules' length: a line alone that is longer is no cell."""


def stacked_matrices(stack: Stack, words: Sequence[Word]) -> Iterator[Matrix]:
    """Yield the tables that rules under their rows, or under head and end only, show."""
    inside = [word for word in words if stack.x0 <= word.x <= stack.x1]
    run: list[list[Row]] = []
    for top, bottom in pairwise(stack.ys):
        band = [word for word in inside if bottom < word.y < top]
        rows = rows_of(band, FINE_GAP)
        if not rows:
            continue
        if not _may_be_cells(rows_of(band), top - bottom, stack.x1 - stack.x0):
            yield from _stacked(run, stack.x1)
            run = []
            continue
        if len(column_starts([*chain(*run), *rows])) < len(column_starts([*chain(*run)])):
            yield from _stacked(run, stack.x1)
            run = []
        run.append(rows)
    yield from _stacked(run, stack.x1)


def _may_be_cells(rows: Sequence[Row], height: float, width: float) -> bool:
    """Tell whether the lines between two rules may be cells, or a remark to the rows under it."""
    remark = len(rows) == 1 and height <= _REMARK * rows[0].size
    return (remark or any(len(row.segments) > 1 for row in rows)) and not any(
        len(row.segments) == 1 and row.segments[0].x1 - row.segments[0].x0 > _ACROSS * width
        for row in rows
    )


def _stacked(run: Sequence[list[Row]], end: float) -> Iterator[Matrix]:
    starts = column_starts([*chain(*run)])
    if len(run) < 2 or len(starts) < 2:
        return
    room = GAP * run[0][0].size
    widths = [(after or end) - start - room for start, after in zip_longest(starts, starts[1:])]
    matrix: Matrix = []
    for band in chain(*(_without_remarks(rows, starts) for rows in run)):
        cells: list[list[Word]] = [[] for _ in starts]
        for row in band:
            for segment in row.segments:
                cells[max(0, bisect_right(starts, segment.x0) - 1)] += segment.words
        split = split_band(cells, widths)
        if split is None or _have_gaps(split):
            return
        matrix += split
    texts = [text_of(cell) for row in matrix for cell in row if cell]
    if is_table(matrix) and not any(map(LEADER.search, texts)) and not is_running(texts):
        yield matrix


def _without_remarks(rows: Sequence[Row], starts: Sequence[float]) -> Iterator[list[Row]]:
    """Yield the rows of a band, each remark that reaches over columns by itself."""
    band: list[Row] = []
    for row in rows:
        segment = row.segments[0]
        over = bisect_right(starts, segment.x0) != bisect_right(starts, segment.x1)
        if len(row.segments) > 1 or not over:
            band.append(row)
            continue
        if band:
            yield band
        yield [row]
        band = []
    if band:
        yield band


def _have_gaps(matrix: Matrix) -> bool:
    """Tell whether a cell is torn: a head reached over columns and made them one."""
    return any(
        len(line.segments) > 1
        for row in matrix
        if sum(map(bool, row)) > 1
        for cell in row
        for line in rows_of(cell)
    )
