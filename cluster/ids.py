"""Prefixed identifiers in OpenAI's style: `file-…`, `vs_…`, `resp_…`."""

import hashlib
import secrets
import threading
import time
from typing import Final

__all__ = ["DEFAULT_PROJECT", "content_id", "new_id"]

DEFAULT_PROJECT: Final = "proj_default"
"""The project every record belongs to until keys and projects exist."""

_SEPARATORS: Final = {
    "file": "-",
    "cmpl": "-",
    "ftjob": "-",
    "ftevent": "-",
}


class _Clock:
    """Microseconds since 1970 that grow with each reading, also within one microsecond."""

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._last = 0

    def read(self) -> int:
        with self._lock:
            self._last = max(self._last + 1, time.time_ns() // 1000)
            return self._last


_clock: Final = _Clock()


def new_id(prefix: str) -> str:
    """Make an identifier of the time and 76 random bits: `new_id("vs")` → `vs_065…`.

    Identifiers of one prefix sort by their creation (strictly within a process, to a microsecond
    between processes), which is what list pages order by: a page can go on after an object that
    has been deleted meanwhile.
    """
    random = secrets.token_hex(10)[1:]
    return f"{prefix}{_SEPARATORS.get(prefix, '_')}{_clock.read():013x}{random}"


def content_id(prefix: str, *parts: str) -> str:
    """Make an identifier that depends on `parts` only, so that writing twice writes the same row.

    Parts are length-prefixed: `("ab", "c")` and `("a", "bc")` differ.
    """
    digest = hashlib.sha256()
    for part in parts:
        data = part.encode()
        digest.update(len(data).to_bytes(8, "big"))
        digest.update(data)
    return f"{prefix}{_SEPARATORS.get(prefix, '_')}{digest.hexdigest()[:32]}"
