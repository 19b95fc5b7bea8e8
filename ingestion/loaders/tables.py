"""Tables as rows that make sense alone: `column: value; column: value`."""

import re
from collections.abc import Iterator, Sequence

from ingestion.loaders.pieces import Piece

__all__ = ["html_rows", "named_pieces", "row_text", "table_pieces"]

_NUMBER = re.compile(r"[-+(]?[$€£]?\d[\d.,' ]*[%)]?")


def table_pieces(rows: Sequence[Sequence[str]], page: int | None = None) -> Iterator[Piece]:
    """Yield a piece for each row of a table, each value with the name of its column.

    A row with one cell only is a remark, not part of the grid. Blank rows separate grids, and each
    grid may have a header of its own.
    """
    grid: list[list[str]] = []
    for row in rows:
        cells = [" ".join(cell.split()) for cell in row]
        filled = [cell for cell in cells if cell]
        if len(filled) > 1 or (filled and len(cells) == 1):
            grid.append(cells)
            continue
        if not (filled and grid):
            yield from _grid_pieces(grid, page)
            grid = []
        if filled and grid:
            grid.append(cells)
        elif filled:
            yield Piece("text", filled[0], page)
    yield from _grid_pieces(grid, page)


def named_pieces(grid: Sequence[Sequence[str]], page: int | None = None) -> Iterator[Piece]:
    """Yield a piece for each row under the first, which names the columns unless it has numbers."""
    header = grid[0] if len(grid) > 1 and _may_be_header(grid[0]) else []
    for row in grid[1:] if header else grid:
        yield Piece("table", row_text(header, row), page)


def row_text(header: Sequence[str], row: Sequence[str]) -> str:
    """Return `row` on one line, each value with the name of its column, empty cells left out."""
    named = []
    for position, value in enumerate(row):
        if not value:
            continue
        name = header[position] if position < len(header) else ""
        named.append(f"{name}: {value}" if name else value)
    return "; ".join(named)


def html_rows(html: str) -> list[list[str]]:
    """Return the cells of an HTML table, row by row."""
    from lxml import html as lxml_html

    table = lxml_html.fragment_fromstring(html, create_parent="div")
    return [
        [cell.text_content() for cell in row if cell.tag in ("td", "th")]
        for row in table.iter("tr")
    ]


def _grid_pieces(grid: list[list[str]], page: int | None) -> Iterator[Piece]:
    if not grid:
        return
    if len(grid[0]) == 2 and not _has_header(grid):  # a list of names and values
        for name, value in ((row[0], row[1] if len(row) > 1 else "") for row in grid):
            yield Piece("table", f"{name}: {value}" if name and value else name or value, page)
        return
    yield from named_pieces(grid, page)


def _may_be_header(row: Sequence[str]) -> bool:
    filled = [cell for cell in row if cell]
    return len(filled) == len(set(filled)) and not any(map(_NUMBER.fullmatch, filled))


def _has_header(grid: list[list[str]]) -> bool:
    """Tell whether the first row names columns: text above numbers."""
    if len(grid) < 2 or not _may_be_header(grid[0]):
        return False
    columns = range(min(len(row) for row in grid))
    return any(
        all(_NUMBER.fullmatch(row[column]) for row in grid[1:] if row[column])
        and any(row[column] for row in grid[1:])
        for column in columns
    )
