"""CSV, JSON and JSON lines: one block a record."""

import csv
import io
import json
import sys
from collections.abc import Iterator
from typing import Any

from ingestion.errors import DocumentError
from ingestion.loaders.pieces import Piece
from ingestion.loaders.tables import named_pieces

__all__ = ["csv_pieces", "json_pieces", "jsonl_pieces"]

_SNIFFED_CHARACTERS = 16_384
_DEEPEST = 20


def csv_pieces(text: str, *, delimiter: str | None = None) -> Iterator[Piece]:
    """Yield a CSV file's rows as `column: value; …`. The delimiter is found where not given."""
    csv.field_size_limit(sys.maxsize)
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=delimiter or _delimiter(text))
    try:
        rows = [[" ".join(cell.split()) for cell in row] for row in reader]
    except csv.Error as error:
        raise DocumentError(f"Line {reader.line_num} of the CSV is broken: {error}.") from error
    return named_pieces([row for row in rows if any(row)])


def json_pieces(text: str) -> Iterator[Piece]:
    """Yield the records of a JSON file: the items of a list, or of the one list in an object."""
    for record in _records(_parsed(text, "The file")):
        yield Piece("table", _record_text(record))


def jsonl_pieces(text: str) -> Iterator[Piece]:
    """Yield a record for each line of JSON."""
    for number, line in enumerate(text.split("\n"), start=1):
        if line.strip():
            yield Piece("table", _record_text(_parsed(line, f"Line {number}")))


def _delimiter(text: str) -> str:
    try:
        return csv.Sniffer().sniff(text[:_SNIFFED_CHARACTERS], delimiters=",;\t|").delimiter
    except csv.Error:
        return ","


def _parsed(text: str, where: str) -> Any:
    try:
        return json.loads(text)
    except (json.JSONDecodeError, RecursionError) as error:
        raise DocumentError(
            f"{where} is not valid JSON: {error}.", fix="It may be cut short: upload it whole."
        ) from error


def _records(value: Any) -> list[Any]:
    if isinstance(value, dict) and len(value) == 1:
        (only,) = value.values()
        if isinstance(only, list):
            return only
    return value if isinstance(value, list) else [value]


def _record_text(record: Any) -> str:
    """Return `name: value` lines, names of nested values joined by points."""
    fields = list(_fields("", record, 0))
    if len(fields) == 1 and "." not in fields[0][0]:
        return fields[0][1]
    return "\n".join(f"{name}: {value}" if name else value for name, value in fields)


def _fields(name: str, value: Any, depth: int) -> Iterator[tuple[str, str]]:
    if value is None or value == "":
        return
    if depth >= _DEEPEST:
        yield name, json.dumps(value, ensure_ascii=False)
    elif isinstance(value, dict):
        for key, inner in value.items():
            yield from _fields(f"{name}.{key}" if name else str(key), inner, depth + 1)
    elif isinstance(value, list) and any(isinstance(item, dict | list) for item in value):
        for item in value:
            yield from _fields(name, item, depth + 1)
    elif isinstance(value, list):
        yield name, ", ".join(str(item) for item in value)
    else:
        yield name, value if isinstance(value, str) else json.dumps(value)
