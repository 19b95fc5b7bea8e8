"""Whose records this work may see: the acting project, a context variable.

The gateway sets it for each request, from the key; parts that work through all projects set it
while they work on one (`with acting_in(row.project_id)`). While one acts, `cluster.database`
adds it to every query of records that belong to a project, and new records are given to it: a query
that forgets whose data it reads cannot be written. Where none acts, all projects are seen, as the
parts that work for all of them need.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from typing import Final

from cluster.ids import DEFAULT_PROJECT

__all__ = ["acting_in", "acting_project", "restricted_to"]

_acting: Final[ContextVar[str | None]] = ContextVar("everloop_acting_project", default=None)


@contextmanager
def acting_in(project_id: str | None) -> Iterator[None]:
    """See and make this project's records only, until the block ends; None: those of all."""
    token = _acting.set(project_id)
    try:
        yield
    finally:
        _acting.reset(token)


def restricted_to() -> str | None:
    """The acting project; None where the work is not restricted to one."""
    return _acting.get()


def acting_project() -> str:
    """The acting project; the default one where none acts. New records are given to it."""
    return _acting.get() or DEFAULT_PROJECT
