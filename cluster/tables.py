"""Tables in the terminal: where there is no room for one, each row as lines of its own."""

from typing import Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

__all__ = ["plain_table", "show_table", "visible"]

_WIDEST: Final = 10_000
_PICTURES: Final = {code: 0x2400 + code for code in range(32) if chr(code) not in "\n\t"}
_CONTROLS: Final = {**_PICTURES, **dict.fromkeys(range(0x7F, 0xA0), 0xFFFD)}


def visible(text: str) -> str:
    """What others wrote, without characters that steer the terminal."""
    return text.translate(_CONTROLS)


def plain_table(*columns: str) -> Table:
    """A table whose cells are folded, never cut: identifiers are there to be copied."""
    table = Table(box=None, pad_edge=False)
    for column in columns:
        table.add_column(column, overflow="fold")
    return table


def show_table(console: Console, table: Table) -> None:
    """Print it, or its rows one under the other where it is wider than the console."""
    options = console.options.update(width=_WIDEST)
    if console.measure(table, options=options).maximum <= console.width:
        console.print(table, highlight=False)
        return
    for cells in zip(*(column.cells for column in table.columns), strict=True):
        console.print(cells[0], highlight=False, soft_wrap=True)
        for column, cell in zip(table.columns[1:], cells[1:], strict=True):
            line = Text.assemble("  ", (f"{column.header}: ", "dim"), cell)
            console.print(line, highlight=False, soft_wrap=True)
