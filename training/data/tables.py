"""CSV as rows of a form, through a mapping of columns."""

import csv
from collections.abc import Iterator
from typing import Any, BinaryIO, Final

from training.data.columns import Columns, cells_to_record
from training.data.forms.values import listed
from training.data.lines import LONGEST, Record, decoded, raw_lines
from training.data.problems import Problem

__all__ = ["UNKNOWN_COLUMNS", "checked_cells", "csv_rows"]

_DELIMITERS: Final = ",;\t|"
UNKNOWN_COLUMNS: Final = "name the columns of `prompt` and `completion`, or of `messages`."


def csv_rows(stream: BinaryIO, columns: Columns | None) -> Iterator[Record | Problem]:
    """Each row under the header, by the line on which it begins; or what is wrong with it.

    The delimiter is the one of `,`, `;`, tab and `|` that splits the header into the columns that
    are wanted. None for `columns` takes those with the usual names.
    """
    header = stream.readline(LONGEST)
    text = decoded(header, 1)
    if isinstance(text, Problem):
        yield text
        return
    delimiter, names = _header(text, columns)
    chosen = columns or Columns.usual(names)
    if chosen is None:
        yield Problem(1, "", f"has the columns {listed(names)}; {UNKNOWN_COLUMNS}")
        return
    if lacking := chosen.missing(names):
        yield Problem(1, "", lacking)
        return
    yield from _CsvRows(names, delimiter, chosen).read(stream)


class _CsvRows:
    def __init__(self, names: list[str], delimiter: str, columns: Columns) -> None:
        self._names = names
        self._delimiter = delimiter
        self._columns = columns
        self._broken: Problem | None = None

    def read(self, stream: BinaryIO) -> Iterator[Record | Problem]:
        reader = csv.reader(self._lines(stream), delimiter=self._delimiter, strict=True)
        while True:
            line = reader.line_num + 2  # below the header, which was read before
            try:
                cells = next(reader)
            except StopIteration:
                return
            except csv.Error as error:
                cells = []
                yield Problem(line, "", f"is not CSV: {error}; is a quote left open?")
            if self._broken is not None:
                yield self._broken
                self._broken = None
            elif cells:
                yield from self._row(line, cells)

    def _lines(self, stream: BinaryIO) -> Iterator[str]:
        for number, raw in raw_lines(stream, first=2):
            text = raw if isinstance(raw, Problem) else decoded(raw, number)
            if isinstance(text, Problem):
                self._broken = self._broken or text
                text = "\n" if isinstance(raw, Problem) else raw.decode(errors="replace")
            yield text

    def _row(self, line: int, cells: list[str]) -> Iterator[Record | Problem]:
        if len(cells) != len(self._names):
            message = f"has {len(cells)} cells; the header has {len(self._names)}."
            yield Problem(line, "", message)
            return
        yield from checked_cells(line, dict(zip(self._names, cells, strict=True)), self._columns)


def checked_cells(line: int, cells: dict[str, Any], columns: Columns) -> Iterator[Record | Problem]:
    """The record of a row of a table, or what is wrong with it."""
    found: list[Problem] = []
    record = cells_to_record(
        cells, columns, lambda field, message: found.append(Problem(line, field, message))
    )
    yield from found
    if record is not None:
        yield line, record


def _header(text: str, columns: Columns | None) -> tuple[str, list[str]]:
    """The delimiter under which the header has the wanted columns, and the names in it."""
    text = text.rstrip("\r\n")
    headers = [(mark, next(csv.reader([text], delimiter=mark), [])) for mark in _DELIMITERS]
    for mark, names in headers:
        wanted = columns or Columns.usual(names)
        if wanted is not None and not wanted.missing(names):
            return mark, names
    return max(headers, key=lambda header: len(header[1]))
