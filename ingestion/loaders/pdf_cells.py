"""The words of a ruled table in rows and columns."""

import re
from bisect import bisect_right
from collections.abc import Mapping, Sequence
from itertools import pairwise
from statistics import median

from ingestion.loaders.pdf_bands import Matrix, split_band
from ingestion.loaders.pdf_lines import Word
from ingestion.loaders.pdf_rows import FINE_GAP, column_starts, rows_of
from ingestion.loaders.pdf_rulings import Cell, Grid

__all__ = ["grid_matrix", "is_table"]

_LEADER = re.compile(r"[.,_·…\s]*")
_LEAST_FILLED = 0.2
"""A chart's grid has fewer cells with text."""
_MOST_WORDS = 40
"""In the middle cell. Above it the borders divide a page of prose."""
_MOST_TALL_WORDS = 20
"""In a cell of several rows. Above it, its lines belong to the rows of a form."""
_LEAST_UPRIGHT = 0.8
_LEAST_PARTED = 0.6
_WIDEST_PADDING = 12.0
_MOST_HEADS = 3

_Places = Mapping[tuple[int, int], Cell]
"""The cell at a row and a column."""


def grid_matrix(grid: Grid, words: Sequence[Word]) -> tuple[Matrix, tuple[float, ...]]:
    """Return the words in the cells of `grid`, and the left ends of the columns that have any.

    What stands in a cell of several rows is repeated in each, so that each makes sense alone; a
    cell of several columns counts for the first. Where the heads of several columns have a common
    head, that is put before each. Nothing is returned for a form, whose lines are in tall cells.
    """
    places = {
        (row, column): cell
        for cell in grid.cells
        for row in range(cell.row, cell.row_end)
        for column in range(cell.column, cell.column_end)
    }
    held = _held(grid, places, words)
    if any(
        cell.row_end - cell.row > 1 and len(inside) > _MOST_TALL_WORDS
        for cell, inside in held.items()
    ):
        return [], ()
    columns = range(len(grid.xs) - 1)
    heads = _heads(grid, places, held)
    bands = [_common(heads, len(columns), places, held)] if heads else []
    low = [False] * len(bands)
    for row in range(heads, len(grid.ys) - 1):
        cells = [places.get((row, column)) for column in columns]
        bands.append(
            [
                held.get(cell, []) if cell and cell.column == column else []
                for column, cell in enumerate(cells)
            ]
        )
        low.append(all(cell is None or cell.row_end - cell.row == 1 for cell in cells))
    starts = _starts(grid, bands)
    widths = _widths(grid, starts, held)
    # Between rules of its own a row of two lines is one row, unless there is nothing but a head.
    least = 3 if len(bands) > 2 else 2
    matrix: Matrix = []
    for band, is_low in zip(bands, low, strict=True):
        cut = [cell for column in columns for cell in _cut(band[column], starts[column])]
        matrix += (split_band(cut, widths, least) if is_low else None) or [cut]
    ends = [start for column in starts for start in column]
    kept = [column for column in range(len(ends)) if any(row[column] for row in matrix)]
    filled = [[row[column] for column in kept] for row in matrix if any(row)]
    return filled, tuple(ends[column] for column in kept)


def is_table(matrix: Matrix, *, least_rows: int = 2) -> bool:
    """Tell whether these are rows of a table, and not a framed text or the grid of a chart."""
    texts = [[cell for cell in row if not all(map(_is_leader, cell))] for row in matrix]
    filled = [cell for row in texts for cell in row]
    words = [word for cell in filled for word in cell]
    return (
        sum(len(row) > 1 for row in texts) >= least_rows
        and len(filled) >= _LEAST_FILLED * len(matrix) * len(matrix[0])
        and median(map(len, filled)) <= _MOST_WORDS
        and sum(word.upright for word in words) >= _LEAST_UPRIGHT * len(words)
    )


def _is_leader(word: Word) -> bool:
    return _LEADER.fullmatch(word.text) is not None


def _held(grid: Grid, places: _Places, words: Sequence[Word]) -> dict[Cell, list[Word]]:
    down = [-y for y in grid.ys]
    held: dict[Cell, list[Word]] = {}
    for word in words:
        at = bisect_right(down, -word.y) - 1, bisect_right(grid.xs, word.x) - 1
        if cell := places.get(at):
            held.setdefault(cell, []).append(word)
    return held


def _starts(grid: Grid, bands: Matrix) -> list[list[float]]:
    """Return the left ends of the columns between two borders: often a border parts only some."""
    starts = []
    for column, (left, right) in enumerate(pairwise(grid.xs)):
        inside = [word for band in bands for word in band[column] if word.x1 <= right]
        rows = rows_of(inside, FINE_GAP)
        several = sum(len(row.segments) > 1 for row in rows)
        parted = several > 1 and several >= _LEAST_PARTED * len(rows)
        starts.append([left, *column_starts(rows)[1:]] if parted else [left])
    return starts


def _cut(cell: Sequence[Word], starts: Sequence[float]) -> list[list[Word]]:
    parts: list[list[Word]] = [[] for _ in starts]
    for word in cell:
        parts[max(0, bisect_right(starts, word.x0) - 1)].append(word)
    return parts


def _widths(
    grid: Grid, starts: Sequence[Sequence[float]], held: Mapping[Cell, Sequence[Word]]
) -> list[float]:
    """Return the room for a line in each column: its width less what is left free everywhere."""
    free = [word.x0 - grid.xs[cell.column] for cell, words in held.items() for word in words]
    padding = min([_WIDEST_PADDING, *(max(0.0, each) for each in free)])
    ends = [*(start for column in starts for start in column), grid.xs[-1]]
    return [right - left - 2 * padding for left, right in pairwise(ends)]


def _heads(grid: Grid, places: _Places, held: Mapping[Cell, Sequence[Word]]) -> int:
    """Return how many rows of heads there are where some have a head in common; else 0."""
    columns = len(grid.xs) - 1
    upper = [cell for column in range(columns) if (cell := places.get((0, column)))]
    common = {cell for cell in upper if cell in held and cell.column_end - cell.column > 1}
    if len(upper) < columns or not common:
        return 0
    depth = max(2, *(cell.row_end for cell in upper))
    below = [places.get((1, column)) for cell in common for column in _columns(cell)]
    wide = any(cell.column_end - cell.column == columns for cell in common)
    if wide or depth > min(_MOST_HEADS, len(grid.ys) - 2):
        return 0
    return depth if all(cell in held and cell not in common for cell in below) else 0


def _columns(cell: Cell) -> range:
    return range(cell.column, cell.column_end)


def _common(
    heads: int, columns: int, places: _Places, held: Mapping[Cell, Sequence[Word]]
) -> list[list[Word]]:
    """Return one row of heads for several, what is above before what is below."""
    row: list[list[Word]] = []
    for column in range(columns):
        cells = dict.fromkeys(places.get((head, column)) for head in range(heads))
        row.append([word for cell in cells if cell for word in held.get(cell, ())])
    return row
