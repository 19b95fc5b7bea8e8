"""The items of a suite: JSON Lines, CSV, or what the suite holds itself."""

import csv
import io
import json
from collections.abc import Iterable, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from deployments.evaluation.suites.errors import Problem, SuiteError, refusal

__all__ = ["Row", "items_of_file", "items_of_text", "rows_of_items", "schema_of", "synthetic_count"]

_MOST: Final = 100_000
_TABLES: Final = {".csv": ",", ".tsv": "\t"}
_JSON_TYPES: Final = {
    str: "string",
    bool: "boolean",
    int: "integer",
    float: "number",
    list: "array",
    dict: "object",
    type(None): "null",
}


class Row(NamedTuple):
    """An item, and where it stands."""

    item: Mapping[str, Any]
    line: int
    """Of the file; of items in the suite their position, from 1."""
    sample: Mapping[str, Any] | None = None
    """An answer that came with it, as OpenAI's files have it beside `item`."""


def items_of_file(path: Path) -> list[Row]:
    """Read a file. Raises SuiteError that lists its problems, each with its line."""
    try:
        text = path.read_text(encoding="utf-8-sig")
    except (OSError, UnicodeDecodeError) as error:
        reason = error.strerror if isinstance(error, OSError) else "it is not UTF-8"
        raise SuiteError(
            f"The data {path} cannot be read: {reason}.",
            fix="Check `data` in the suite; a path is relative to the suite's own folder.",
        ) from error
    separator = _TABLES.get(path.suffix.casefold())
    return items_of_text(text, str(path), separator)


def items_of_text(text: str, name: str, separator: str | None = None) -> list[Row]:
    """Read JSON Lines, or with a separator a table whose first line names the columns."""
    rows, problems = _of_table(text, separator) if separator else _of_lines(text)
    if not rows and not problems:
        problems = [Problem(None, "has no item")]
    if len(rows) > _MOST:
        problems = [Problem(None, f"has {len(rows)} items; a suite may have {_MOST}")]
    if problems:
        raise refusal(name, problems)
    return rows


def schema_of(items: Iterable[Mapping[str, Any]]) -> dict[str, Any]:
    """JSON schema that the items keep: each field's types; those that all have are required."""
    types: dict[str, set[str]] = {}
    common: set[str] | None = None
    for item in items:
        common = set(item) if common is None else common & set(item)
        for name, value in item.items():
            types.setdefault(name, set()).add(_JSON_TYPES[type(value)])
    return {
        "type": "object",
        "properties": {
            name: {"type": kinds.pop() if len(kinds) == 1 else sorted(kinds)}
            for name, kinds in types.items()
        },
        "required": sorted(common or ()),
    }


def synthetic_count(items: Iterable[Mapping[str, Any]]) -> int:
    """How many items say of themselves that a program wrote them (`metadata.synthetic`)."""
    return sum(
        isinstance(item.get("metadata"), Mapping) and item["metadata"].get("synthetic") is True
        for item in items
    )


def _of_lines(text: str) -> tuple[list[Row], list[Problem]]:
    rows: list[Row] = []
    problems: list[Problem] = []
    for number, line in enumerate(text.split("\n"), start=1):
        if not line.strip():
            continue
        try:
            value = json.loads(line)
        except json.JSONDecodeError as error:
            problems.append(Problem(number, f"is no JSON: {error.msg} at column {error.colno}"))
            continue
        if not isinstance(value, dict) or not value:
            problems.append(Problem(number, f"is {line.strip()[:60]!r}; needed is an object"))
        elif isinstance(value.get("item"), dict) and value.keys() <= {"item", "sample"}:
            rows.append(Row(value["item"], number, value.get("sample")))
        else:
            rows.append(Row(value, number))
    return rows, problems


def _of_table(text: str, separator: str) -> tuple[list[Row], list[Problem]]:
    reader = csv.reader(io.StringIO(text, newline=""), delimiter=separator)
    names = next(reader, [])
    if not names or len(set(names)) < len(names) or not all(names):
        return [], [Problem(1, f"needs the columns' names, each once; it has {names!r}")]
    rows: list[Row] = []
    problems: list[Problem] = []
    for cells in reader:
        if not cells:
            continue
        if len(cells) != len(names):
            said = f"has {len(cells)} cells; the columns are {len(names)}"
            problems.append(Problem(reader.line_num, said))
        else:
            values = map(_cell, cells)
            rows.append(Row(dict(zip(names, values, strict=True)), reader.line_num))
    return rows, problems


def _cell(text: str) -> Any:
    """A cell is a text, unless it is a JSON list or object: document names, say."""
    if text[:1] in {"[", "{"}:
        try:
            return json.loads(text)
        except json.JSONDecodeError:
            return text
    return text


def rows_of_items(items: Sequence[Mapping[str, Any]]) -> list[Row]:
    """Items that a suite holds itself."""
    return [Row(item, number) for number, item in enumerate(items, start=1)]
