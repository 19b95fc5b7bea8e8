"""Our own patterns on strangers' texts: each match is bounded, by what itself costs.

The package regex counts the CPU time of the whole process, from the first match of a row to the
last, and lets other threads run while it matches. Beside four busy threads a pattern of a
millisecond would so pass a bound of fifty. Here no other thread runs before it is done.
"""

from typing import Any, Final

__all__ = ["find_all", "search"]

_MATCH_S: Final = 0.1
"""CPU time that one pattern may take of one text: others wait as long."""


def search(pattern: Any, text: str, start: int = 0, end: int | None = None) -> Any:
    """The first match in `text[start:end]`, or None. Raises TimeoutError."""
    end = len(text) if end is None else end
    return pattern.search(text, start, end, timeout=_MATCH_S, concurrent=False)


def find_all(
    pattern: Any, text: str, *, overlapped: bool = False, partial: bool = False
) -> list[Any]:
    """All matches, in order; `partial`: also what may yet become one. Raises TimeoutError."""
    return list(
        pattern.finditer(
            text, overlapped=overlapped, partial=partial, timeout=_MATCH_S, concurrent=False
        )
    )
