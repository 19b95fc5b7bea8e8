"""A file of examples, read once and checked whole: every row, and every problem by its line.

JSON Lines in one of three forms (`messages`; `input` with two outputs; `prompt` and `completion`),
CSV, or Parquet. What it is follows from its first bytes, and the form from the keys of its rows.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any, BinaryIO, Final, Literal

from training.data.columns import Columns
from training.data.forms import check_form, form_of
from training.data.forms.metadata import METADATA
from training.data.lines import Record, json_lines
from training.data.parquet import MAGIC, parquet_rows
from training.data.problems import WHOLE_FILE, Problem, ProblemList, refusal
from training.data.records import example_of
from training.data.rows import Kind, Row
from training.data.summary import DatasetSummary, Tally
from training.data.tables import csv_rows
from training.errors import DatasetError
from training.examples import Example

__all__ = ["Format", "ReadDataset", "read_dataset", "read_examples", "read_rows", "scan_dataset"]

Format = Literal["chat", "preference", "completion", "csv", "parquet"]
"""The first three are JSON Lines in one form."""

PROBLEMS_KEPT: Final = 1_000
_SHOWN: Final = 20
_HEAD_BYTES: Final = 4_096
_FOREIGN: Final = {
    b"\x1f\x8b": "is compressed with gzip; give the file in it.",
    b"PK\x03\x04": "is a ZIP archive or an Office document; give JSON Lines, CSV or Parquet.",
    b"\xff\xfe": "is UTF-16; save it as UTF-8.",
    b"\xfe\xff": "is UTF-16; save it as UTF-8.",
}
_TABLE_SUFFIXES: Final = frozenset({".csv", ".tsv"})


@dataclass(frozen=True, slots=True)
class ReadDataset:
    """A file that was read to its end."""

    name: str
    rows: Sequence[Row]
    """Those without a problem."""
    problems: tuple[Problem, ...]
    more_problems: int
    """Problems beyond those that are kept."""
    summary: DatasetSummary

    def examples(self) -> list[Example]:
        """All examples. Raises DatasetError that lists the first problems, if there is any."""
        return [row.example for row in self.sound_rows()]

    def sound_rows(self) -> Sequence[Row]:
        """All rows. Raises DatasetError that lists the first problems, if there is any."""
        if self.problems:
            hidden = len(self.problems[_SHOWN:]) + self.more_problems
            raise refusal(self.name, self.problems[:_SHOWN], hidden)
        return self.rows


def read_dataset(
    source: Path | BinaryIO,
    format: Format | None = None,
    columns: Columns | None = None,
    *,
    keep_rows: bool = True,
    problems_kept: int = PROBLEMS_KEPT,
    name: str | None = None,
    on_row: Callable[[Row], None] | None = None,
) -> ReadDataset:
    """Read all of `source`: a path, or a binary stream that can seek, called `name`.

    `columns` maps those of a table; without it they have the names of the parts. `keep_rows` false
    only checks and counts, in little memory; `on_row` sees each sound row. Raises DatasetError
    where the file cannot be opened; whatever is wrong inside it is among the problems.
    """
    rows: list[Row] = []
    problems, tally = ProblemList(problems_kept), Tally()
    name = name or _name(source)
    for item in scan_dataset(source, format, columns, name=name):
        if isinstance(item, Problem):
            problems.add(item)
            continue
        tally.add(item.example)
        if on_row is not None:
            on_row(item)
        if keep_rows:
            rows.append(item)
    return ReadDataset(name, rows, problems.kept, problems.more, tally.summary)


def read_examples(path: Path, columns: Columns | None = None) -> list[Example]:
    """The examples of a file without a fault. Raises DatasetError that lists the first ones."""
    return read_dataset(path, None, columns).examples()


def read_rows(path: Path, columns: Columns | None = None) -> list[Row]:
    """As `read_examples`, with the lines that they begin on."""
    return list(read_dataset(path, None, columns).sound_rows())


def scan_dataset(
    source: Path | BinaryIO,
    format: Format | None = None,
    columns: Columns | None = None,
    *,
    name: str | None = None,
) -> Iterator[Row | Problem]:
    """The rows and problems of `source` in order, one by one; otherwise as `read_dataset`."""
    with _opened(source) as stream:
        head = stream.read(_HEAD_BYTES)
        stream.seek(0)
        for signature, message in _FOREIGN.items():
            if head.startswith(signature):
                yield Problem(WHOLE_FILE, "", message)
                return
        if not head.strip():
            yield Problem(WHOLE_FILE, "", "is empty.")
            return
        found = format or _table_format(head, name or _name(source), columns)
        yield from _scan(stream, found, columns)


def _scan(
    stream: BinaryIO, format: Format | None, columns: Columns | None
) -> Iterator[Row | Problem]:
    records: Iterator[Record | Problem]
    if format == "parquet":
        records, forms = parquet_rows(stream, columns), _Forms(None, columns)
    elif format == "csv":
        records, forms = csv_rows(stream, columns), _Forms(None, columns)
    else:
        records, forms = json_lines(stream), _Forms(format, None)
    nothing = True
    for item in records:
        nothing = False
        if isinstance(item, Problem):
            yield item
        else:
            yield from forms.check(*item)
    if nothing:
        yield Problem(WHOLE_FILE, "", "has no row.")


class _Forms:
    """Checks each row in its form, and that all rows have one form."""

    def __init__(self, form: Kind | None, columns: Columns | None) -> None:
        self._form = form
        self._begins = "asked for" if form else ""
        self._column = None if columns is None else columns.messages

    def check(self, line: int, record: dict[str, Any]) -> Iterator[Row | Problem]:
        found: list[Problem] = []

        def say(field: str, message: str) -> None:
            found.append(Problem(line, field, message))

        form = form_of(record)
        if form is not None and self._form is None:
            self._form, self._begins = form, f"that of line {line}"
        if form is not None and form != self._form:
            say("", f"is in the {form} form; the file's is the {self._form} form, {self._begins}.")
        check_form(record, form or self._form, say)
        if found:
            yield from map(self._named, found)
        else:
            yield Row(line, example_of(record), record.get(METADATA) or {})

    def _named(self, problem: Problem) -> Problem:
        """With the name of the table's own column."""
        if self._column is None or not problem.field.startswith("messages"):
            return problem
        return replace(problem, field=self._column + problem.field.removeprefix("messages"))


def _table_format(head: bytes, name: str, columns: Columns | None) -> Format | None:
    """`parquet` or `csv`; None where it looks like JSON Lines, or like nothing known."""
    if head.startswith(MAGIC):
        return "parquet"
    text = head.decode(errors="replace").lstrip("\ufeff \t\r\n")
    if text[:1] in ("{", "["):
        return None
    if columns is not None or Path(name).suffix.lower() in _TABLE_SUFFIXES:
        return "csv"
    names = [part.strip('" \r') for part in text.partition("\n")[0].split(",")]
    return None if Columns.usual(names) is None else "csv"


def _name(source: Path | BinaryIO) -> str:
    named = source if isinstance(source, Path) else getattr(source, "name", None)
    return str(named) if isinstance(named, Path | str) else "the file"


@contextmanager
def _opened(source: Path | BinaryIO) -> Iterator[BinaryIO]:
    if not isinstance(source, Path):
        yield source
        return
    try:
        stream = source.open("rb")
    except OSError as error:
        raise DatasetError(
            f"The dataset {source} cannot be read: {error.strerror}.", fix="Check the path."
        ) from error
    with stream:
        yield stream
