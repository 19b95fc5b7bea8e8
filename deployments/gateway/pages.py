"""OpenAI's list pages: `after`, `before`, `limit`, `order` in; `has_more` out."""

from typing import Annotated, Any, Final, Generic, Literal, TypeVar

from fastapi import Query
from pydantic import BaseModel
from sqlalchemy import Select
from sqlalchemy.orm import InstrumentedAttribute, Session

from deployments.errors import InvalidRequest

__all__ = ["Page", "PageQuery", "PageQueryDependency", "cursor_number", "take_page"]

Item = TypeVar("Item")
Row = TypeVar("Row")
_DIGITS: Final = 18
"""A number of so many fits the database's widest integer."""


class Page(BaseModel, Generic[Item]):
    """A page of a list. Ask for the next one with `after=last_id` while `has_more` is true."""

    object: Literal["list"] = "list"
    data: list[Item]
    first_id: str | None = None
    last_id: str | None = None
    has_more: bool = False

    @classmethod
    def of(cls, items: list[Item], *, has_more: bool) -> "Page[Item]":
        """Make a page of objects that have an `id`."""
        ids = [str(getattr(item, "id")) for item in items]  # noqa: B009 - Item is any object
        first, last = (ids[0], ids[-1]) if ids else (None, None)
        return cls(data=items, first_id=first, last_id=last, has_more=has_more)


class PageQuery(BaseModel):
    """Which page of a list."""

    after: str | None = None
    before: str | None = None
    limit: int = 20
    order: Literal["asc", "desc"] = "desc"


def _page_query(
    after: Annotated[str | None, Query(max_length=64, description="Id to start after.")] = None,
    before: Annotated[str | None, Query(max_length=64, description="Id to end before.")] = None,
    limit: Annotated[int, Query(ge=1, le=100, description="Objects on a page.")] = 20,
    order: Annotated[Literal["asc", "desc"], Query(description="By creation.")] = "desc",
) -> PageQuery:
    return PageQuery(after=after, before=before, limit=limit, order=order)


PageQueryDependency = _page_query
"""FastAPI dependency that reads a PageQuery."""


def cursor_number(cursor: str, param: str) -> int:
    """The number that a cursor is, or ends in after `@`. Raises InvalidRequest where it is none."""
    number = cursor.rpartition("@")[2]
    if not (number.isascii() and number.isdecimal() and len(number) <= _DIGITS):
        raise InvalidRequest(f"No such move: {cursor[:64]}.", param=param, code="not_found")
    return int(number)


def take_page(
    session: Session,
    rows: Select[Row],
    key: InstrumentedAttribute[Any],
    page: PageQuery,
    *,
    after: Any = None,
    before: Any = None,
) -> tuple[list[Row], bool]:
    """Read the page's rows in order of `key`, and whether there are more in the page's direction.

    `key` grows with creation. `after` and `before` are values of it, by default the query's own.
    With `before` alone the page holds the rows just before it, as at OpenAI.
    """
    after = page.after if after is None else after
    before = page.before if before is None else before
    ascending = page.order == "asc"
    if after is not None:
        rows = rows.where(key > after if ascending else key < after)
    if before is not None:
        rows = rows.where(key < before if ascending else key > before)
    backwards = before is not None and after is None
    upwards = ascending != backwards
    ordered = rows.order_by(key.asc() if upwards else key.desc()).limit(page.limit + 1)
    found = list(session.scalars(ordered))
    has_more = len(found) > page.limit
    found = found[: page.limit]
    return (found[::-1] if backwards else found), has_more
