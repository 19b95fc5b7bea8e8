"""How links are found, of many things in one query, in either direction."""

from collections import Counter
from collections.abc import Callable, Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final, Protocol

from sqlalchemy import Select, SQLColumnExpression, func, select

from deployments.lineage.node import Direction, Link, node_of, types_meant

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["ColumnRelation", "Found", "Ids", "ListRelation", "Relation", "bounded"]

Ids = Mapping[str, Sequence[str]]
"""Ids by type."""

_LOOKED_THROUGH: Final = 1000
"""Rows whose lists are read, newest first, where no index leads to them."""


@dataclass(slots=True)
class Found:
    """Links, newest first, and how many more there are by the type of their far end."""

    links: list[Link] = field(default_factory=list)
    more: Counter[str] = field(default_factory=Counter)

    def add(self, links: Sequence[Link], more: int, direction: Direction) -> "Found":
        """Add links, and count `more` as being of the type of their last one's far end."""
        self.links += links
        if links and more:
            self.more[links[-1].end(direction).type] += more
        return self


class Relation(Protocol):
    """One way in which things have a part in others."""

    def find(self, session: "Session", ids: Ids, direction: Direction, limit: int) -> Found:
        """The links of `ids` in `direction`, at most `limit`."""
        ...


@dataclass(frozen=True, slots=True)
class ColumnRelation:
    """Two columns of one table: the first one's thing had a part in the second one's."""

    kind: str
    source: str
    target: str
    sources: SQLColumnExpression[Any]
    targets: SQLColumnExpression[Any]
    newest: SQLColumnExpression[Any]
    """Grows with creation."""
    only: SQLColumnExpression[bool] | None = None
    """Which rows count; None: all."""

    def find(self, session: "Session", ids: Ids, direction: Direction, limit: int) -> Found:
        """See `Relation`."""
        near = self.source if direction == "forward" else self.target
        column = self.sources if direction == "forward" else self.targets
        wanted = _ids_of(ids, near)
        if not wanted:
            return Found()
        query = (
            select(self.sources, self.targets)
            .where(
                column.in_(wanted),
                self.sources.is_not(None),
                self.targets.is_not(None),
            )
            .order_by(self.newest.desc())
        )
        if self.only is not None:
            query = query.where(self.only)
        rows, more = bounded(session, query, limit)
        links = [
            Link(node_of(self.source, source), node_of(self.target, target), self.kind)
            for source, target in rows
        ]
        return Found().add(links, more, direction)


@dataclass(frozen=True, slots=True)
class ListRelation:
    """Rows that name other things inside a JSON value.

    From a row to them its id leads; the other way its newest rows are looked through.
    """

    kind: str
    row: str
    """Type of the rows."""
    other: str
    """Type of what they name."""
    forward: bool
    """Whether a row had a part in what it names, or that in the row."""
    key: SQLColumnExpression[Any]
    columns: tuple[SQLColumnExpression[Any], ...]
    newest: SQLColumnExpression[Any]
    named: Callable[..., Iterable[str]]
    """From the columns' values to the ids that they name."""

    def find(self, session: "Session", ids: Ids, direction: Direction, limit: int) -> Found:
        """See `Relation`."""
        from_row = (direction == "forward") == self.forward
        wanted = _ids_of(ids, self.row if from_row else self.other)
        if not wanted:
            return Found()
        query = select(self.key, *self.columns)
        query = query.order_by(self.newest.desc()).limit(_LOOKED_THROUGH)
        if from_row:
            query = query.where(self.key.in_(wanted))
        pairs = [
            (key, name)
            for key, *values in session.execute(query)
            for name in dict.fromkeys(self.named(*values))
            if from_row or name in wanted
        ]
        links = [self._link(key, name) for key, name in pairs[:limit]]
        return Found().add(links, len(pairs) - len(links), direction)

    def _link(self, key: str, name: str) -> Link:
        row, other = node_of(self.row, key), node_of(self.other, name)
        return Link(row, other, self.kind) if self.forward else Link(other, row, self.kind)


def _ids_of(ids: Ids, type_: str) -> list[str]:
    """The ids of the types that a type stands for."""
    return [name for meant in types_meant(type_) for name in ids.get(meant, ())]


def bounded(
    session: "Session", query: Select[*tuple[Any, ...]], limit: int
) -> tuple[list[Any], int]:
    """The first `limit` rows, and how many more there are."""
    rows = list(session.execute(query.limit(limit + 1)))
    if len(rows) <= limit:
        return rows, 0
    count = select(func.count()).select_from(query.order_by(None).subquery())
    return rows[:limit], session.scalar(count) - limit  # type: ignore[operator]
