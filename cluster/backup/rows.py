"""The records as JSON lines: any database of ours reads what any other wrote."""

import base64
import json
from collections.abc import Callable, Iterable, Iterator
from typing import Any, Final

from sqlalchemy import (
    JSON,
    Column,
    Connection,
    LargeBinary,
    MetaData,
    Select,
    Table,
    Text,
    cast,
    func,
    insert,
    select,
    text,
    type_coerce,
)

__all__ = ["count_rows", "drop_tables", "read_rows", "tables_of", "write_rows"]

Row = dict[str, Any]
_VERSION: Final = "alembic_version"
_BATCH: Final = 500


def tables_of(connection: Connection) -> list[Table]:
    """The tables as they are in the database, those that others refer to first."""
    metadata = MetaData()
    metadata.reflect(connection)
    found = [table for table in metadata.sorted_tables if table.name != _VERSION]
    for table in found:
        for column in table.columns:
            if isinstance(column.type, JSON):  # else a missing value would become JSON's null
                column.type.none_as_null = True
    return found


def read_rows(connection: Connection, table: Table) -> Iterator[Row]:
    """Every row, for JSON: binary values as base64, JSON ones as their text."""
    options = connection.execution_options(stream_results=True, yield_per=_BATCH)
    for row in options.execute(_selection(connection, table)).mappings():
        yield {
            name: base64.b64encode(value).decode() if isinstance(value, bytes) else value
            for name, value in row.items()
        }


def write_rows(
    connection: Connection, table: Table, rows: Iterable[Row], change: Callable[[Row], Row | None]
) -> int:
    """Insert the rows as `change` makes them, but those of which it makes None; how many."""
    binary = {column.name for column in table.columns if isinstance(column.type, LargeBinary)}
    jsons = {column.name for column in table.columns if isinstance(column.type, JSON)}
    batch: list[Row] = []
    written = 0
    for found in rows:
        if (row := change(found)) is None:
            continue
        batch.append({name: _value(name, value, binary, jsons) for name, value in row.items()})
        if len(batch) == _BATCH:
            connection.execute(insert(table), batch)
            written, batch = written + len(batch), []
    if batch:
        connection.execute(insert(table), batch)
    _advance(connection, table)
    return written + len(batch)


def count_rows(connection: Connection, table: Table) -> int:
    """How many there are."""
    return connection.scalar(select(func.count()).select_from(table)) or 0


def drop_tables(connection: Connection) -> None:
    """Remove all records, and the note of their version."""
    metadata = MetaData()
    metadata.reflect(connection)
    metadata.drop_all(connection)


def _selection(connection: Connection, table: Table) -> Select[Any]:
    lite = connection.dialect.name == "sqlite"

    def plain(column: Column[Any]) -> Any:
        if not isinstance(column.type, JSON):
            return column
        return (type_coerce if lite else cast)(column, Text).label(column.name)

    return select(*map(plain, table.columns)).order_by(*table.primary_key.columns)


def _value(name: str, value: Any, binary: set[str], jsons: set[str]) -> Any:
    if value is None:
        return None
    if name in binary:
        return base64.b64decode(value)
    if name in jsons:
        parsed = json.loads(value)
        return JSON.NULL if parsed is None else parsed
    return value


def _advance(connection: Connection, table: Table) -> None:
    """Have PostgreSQL count on after the highest number; SQLite does so by itself."""
    column = table.autoincrement_column
    if connection.dialect.name == "sqlite" or column is None:
        return
    sequence = connection.scalar(select(func.pg_get_serial_sequence(table.name, column.name)))
    highest = connection.scalar(select(func.max(column)))
    if sequence is not None and highest is not None:
        statement = text("SELECT setval(CAST(:sequence AS regclass), :highest)")
        connection.execute(statement, {"sequence": sequence, "highest": highest})
