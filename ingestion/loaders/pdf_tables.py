"""Tables among the lines of a PDF's page."""

from collections.abc import Iterator, Sequence
from dataclasses import dataclass, replace
from functools import cached_property
from itertools import accumulate
from typing import TYPE_CHECKING

from ingestion.loaders.pdf_aligned import aligned_matrices
from ingestion.loaders.pdf_bands import Matrix
from ingestion.loaders.pdf_cells import grid_matrix, is_table
from ingestion.loaders.pdf_lines import Line, Word, page_lines, text_of
from ingestion.loaders.pdf_rulings import rulings
from ingestion.loaders.pdf_stacks import stacked_matrices
from ingestion.loaders.pieces import Piece
from ingestion.loaders.tables import table_pieces

if TYPE_CHECKING:
    from pdfminer.layout import LTPage

__all__ = ["Table", "page_items"]

_SAME_COLUMN = 3.0
"""Points between the columns of a table's parts on two pages."""


@dataclass(frozen=True, slots=True)
class Table:
    """Rows of cells on a page."""

    rows: tuple[tuple[str, ...], ...]
    page: int
    columns: tuple[float, ...] = ()
    """Left ends of the columns in points, where borders show them."""
    at_foot: bool = False
    """No text of the page comes after it."""

    def pieces(self) -> Iterator[Piece]:
        """Yield a piece for each row."""
        return table_pieces(self.rows, self.page)


def page_items(
    page: "LTPage", number: int, box: int, upper: Table | None = None
) -> list[Line | Table]:
    """Return the lines of a page in reading order, and each table in its place among them.

    What a table took is cut from its lines; they stay, though empty. `upper` stands at the foot of
    the page before: a table that goes on from it takes over the names of its columns.
    """
    lines, words = page_lines(page, number, box)
    tables = _tables(page, lines, words, upper)
    taken = frozenset[Word]().union(*(table.words for table in tables))
    if not taken:
        return list(lines)
    rest = [word for word in words if word not in taken]
    cut = _cut(lines, rest, {word.line for word in taken})
    items: list[Line | Table] = list(cut)
    placed = [(_place(table, rest, len(lines)), table) for table in tables]
    placed.sort(key=lambda pair: (-pair[0], pair[1].bottom))  # from the end, so that places hold
    for place, table in placed:
        rows = _rows(table.matrix)
        last = not _outside(rest, lines, below=table.bottom)
        found = Table(rows, number, table.columns, at_foot=last)
        if upper and _same_columns(upper, table) and not _outside(rest, lines, above=table.top):
            found = replace(found, rows=_named(rows, upper.rows))
        items.insert(place, found)
    return items


@dataclass(frozen=True)
class _Found:
    """The words of a table."""

    matrix: Matrix
    columns: tuple[float, ...] = ()

    @cached_property
    def words(self) -> frozenset[Word]:
        return frozenset(word for row in self.matrix for cell in row for word in cell)

    @cached_property
    def top(self) -> float:
        return max(word.y1 for word in self.words)

    @cached_property
    def bottom(self) -> float:
        return min(word.y0 for word in self.words)


def _tables(
    page: "LTPage", lines: Sequence[Line], words: list[Word], upper: Table | None
) -> list[_Found]:
    """Return the tables of a page, but for those that are a letter's head or foot."""
    found: list[_Found] = []

    def add(table: _Found) -> None:
        nonlocal words
        words = [word for word in words if word not in table.words]
        if not all(lines[word.line].in_margin for word in table.words):
            found.append(table)

    ruled = rulings(page)
    for grid in ruled.grids:
        matrix, columns = grid_matrix(grid, words)
        table = _Found(matrix, columns)
        if is_table(matrix) or (
            upper
            and is_table(matrix, least_rows=1)
            and _same_columns(upper, table)
            and not _outside(words, lines, above=table.top)
        ):
            add(table)
    for stack in ruled.stacks:
        for matrix in stacked_matrices(stack, words):
            add(_Found(matrix))
    for matrix in aligned_matrices(words, [line.box for line in lines]):
        add(_Found(matrix))
    return found


def _rows(matrix: Matrix) -> tuple[tuple[str, ...], ...]:
    """Return the text of the cells; a head that is repeated further down stands at the top only."""
    head, *rest = rows = tuple(tuple(map(text_of, row)) for row in matrix)
    return (head, *(row for row in rest if row != head)) if _has_names(rows) else rows


def _cut(lines: Sequence[Line], rest: Sequence[Word], touched: set[int]) -> list[Line]:
    """Return the lines without what tables took; running heads have no part in a table."""
    left: dict[int, list[str]] = {line: [] for line in touched}
    for word in rest:
        if word.line in touched:
            left[word.line].append(word.text)
    return [
        replace(line, text=" ".join([*left[number], "\n"]), in_margin=False)
        if number in touched
        else line
        for number, line in enumerate(lines)
    ]


def _place(table: _Found, rest: Sequence[Word], lines: int) -> int:
    """Return the number of the line that `table` stands before.

    pdfminer reads the cells column by column, and what is below the table may come before some of
    them, or what is above it after some. So the place is where the least is on the wrong side, and
    of such places the nearest to the first line of the table. Where text stands beside the table,
    the page has columns, and only its own column counts.
    """
    x0, x1 = min(word.x0 for word in table.words), max(word.x1 for word in table.words)
    beside = [word for word in rest if table.bottom <= word.y <= table.top]
    left = x0 if any(word.x1 <= x0 for word in beside) else float("-inf")
    right = x1 if any(word.x0 >= x1 for word in beside) else float("inf")
    side = [0] * (lines + 1)
    for word in rest:
        if word.x1 > left and word.x0 < right:
            side[word.line + 1] = (word.y < table.bottom) - (word.y > table.top)
    wrong = list(accumulate(side))
    first = min(word.line for word in table.words)
    return min(range(lines + 1), key=lambda place: (wrong[place], abs(place - first)))


def _outside(
    words: Sequence[Word],
    lines: Sequence[Line],
    *,
    above: float = float("inf"),
    below: float = float("-inf"),
) -> bool:
    """Tell whether text other than running heads stands above or below a height."""
    return any(
        (word.y > above or word.y < below) and not lines[word.line].in_margin for word in words
    )


def _same_columns(upper: Table, table: _Found) -> bool:
    return len(upper.columns) == len(table.columns) > 0 and all(
        abs(one - other) <= _SAME_COLUMN
        for one, other in zip(upper.columns, table.columns, strict=True)
    )


def _named(
    rows: tuple[tuple[str, ...], ...], upper: tuple[tuple[str, ...], ...]
) -> tuple[tuple[str, ...], ...]:
    """Return `rows` under the names that their columns have in `upper`, if they have none."""
    names = next((row for row in upper if sum(map(bool, row)) > 1), ())
    named = (names, *rows)
    if names == rows[0] or not (_has_names(upper) and _has_names(named)):
        return rows
    return named


def _has_names(rows: tuple[tuple[str, ...], ...]) -> bool:
    """Tell whether one row gave the others its cells as names, and so has no piece of its own."""
    return len(list(table_pieces(rows))) < len(rows)
