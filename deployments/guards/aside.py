"""Long texts are read aside, in threads of the guards' own: no other request waits meanwhile."""

import asyncio
import threading
from collections.abc import Callable
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import Final, TypeVar

__all__ = ["aside", "still_wanted"]

T = TypeVar("T")

_AT_ONCE: Final = 4_000
"""Characters that are read on the event loop, in some milliseconds."""
_THREADS: Final = 4
"""Texts that are read aside at once: a long one does not hold up all shorter ones."""
_reading: Final = threading.local()


async def aside(
    read: Callable[[str], T],
    text: str,
    *,
    at_once: int = _AT_ONCE,
    threads: ThreadPoolExecutor | None = None,
) -> T:
    """Return `read(text)`; a text longer than `at_once` is read in a thread.

    Where who waits is cancelled, as at the end of a guard's budget, what has not begun never does,
    and what has ends at its next `still_wanted`. `threads`: others than those of all guards.
    """
    if len(text) <= at_once:
        return read(text)
    given_up = threading.Event()

    def watched() -> T:
        _reading.given_up = given_up
        try:
            return read(text)
        finally:
            _reading.given_up = None

    try:
        loop = asyncio.get_running_loop()
        return await loop.run_in_executor(threads or _threads(), watched)
    finally:
        given_up.set()


def still_wanted() -> None:
    """Raise TimeoutError where nobody waits any longer for what this thread reads."""
    given_up: threading.Event | None = getattr(_reading, "given_up", None)
    if given_up is not None and given_up.is_set():
        raise TimeoutError


@cache
def _threads() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(_THREADS, thread_name_prefix="guards")
