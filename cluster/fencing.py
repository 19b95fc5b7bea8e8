"""What the writing transactions of a piece of work ask before they commit: a context variable.

A request that names itself (`Idempotency-Key`) is carried out once, although its gateway may be
killed, or be slow enough for another to take over: the transaction that makes something notes so
in the key's record as well, and is rolled back where the key is another's by now.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["Fence", "current_fence", "fenced_by"]

Fence = Callable[["Session", Sequence[object]], None]
"""Called with a transaction that wrote, and the new records in the order in which they were
added; what it raises rolls the transaction back, and what it writes is committed with it."""

_fence: Final[ContextVar[Fence | None]] = ContextVar("everloop_fence", default=None)


@contextmanager
def fenced_by(fence: Fence | None) -> Iterator[None]:
    """Have every transaction that writes ask `fence`, until the block ends; None: ask nothing."""
    token = _fence.set(fence)
    try:
        yield
    finally:
        _fence.reset(token)


def current_fence() -> Fence | None:
    """What transactions ask now; None: nothing."""
    return _fence.get()
