"""Rows that may be there already."""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy.dialects import postgresql, sqlite

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from cluster.records import Base

__all__ = ["insert_missing"]

_BATCH: Final = 1000


def insert_missing(
    session: "Session", table: "type[Base]", rows: Sequence[Mapping[str, Any]]
) -> None:
    """Insert rows, all with the same columns; one whose key is taken is left as it is."""
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    insert = dialect.insert(table.__table__).on_conflict_do_nothing()
    for start in range(0, len(rows), _BATCH):
        session.execute(insert, [dict(row) for row in rows[start : start + _BATCH]])
