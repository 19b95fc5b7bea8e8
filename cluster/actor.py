"""Who acts: a context variable, for the audit log.

The gateway sets it for each request, from the key; the command line on the server sets `cli`. Where
nobody set it, Everloop itself acts.
"""

from collections.abc import Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from dataclasses import dataclass
from typing import Final

__all__ = ["CLI", "SYSTEM", "Actor", "acting_as", "current_actor"]

CLI: Final = "cli"
"""The command line on the server."""
SYSTEM: Final = "system"
"""Everloop itself."""


@dataclass(frozen=True, slots=True)
class Actor:
    """Somebody who changes something."""

    name: str
    """Id of a key, `cli` or `system`."""
    request_id: str | None = None


_SELF: Final = Actor(SYSTEM)
_actor: Final[ContextVar[Actor]] = ContextVar("everloop_actor", default=_SELF)


@contextmanager
def acting_as(name: str, request_id: str | None = None) -> Iterator[None]:
    """Let what is done until the block ends be this one's doing."""
    token = _actor.set(Actor(name, request_id))
    try:
        yield
    finally:
        _actor.reset(token)


def current_actor() -> Actor:
    """Who acts now."""
    return _actor.get()
