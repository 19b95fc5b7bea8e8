"""Prefixed identifiers in OpenAI's style: `file-…`, `vs_…`, `resp_…`."""

import hashlib
import secrets
import time
from typing import Final

__all__ = ["DEFAULT_PROJECT", "content_id", "new_id"]

DEFAULT_PROJECT: Final = "proj_default"
"""The project every record belongs to until keys and projects exist."""

_SEPARATORS: Final = {"file": "-", "chatcmpl": "-", "cmpl": "-"}


def new_id(prefix: str) -> str:
    """Make an identifier of the time and 80 random bits: `new_id("vs")` → `vs_019…`.

    Identifiers of one prefix sort by their creation, which is what list pages order by: a page
    can go on after an object that has been deleted meanwhile.
    """
    milliseconds = time.time_ns() // 1_000_000
    return f"{prefix}{_SEPARATORS.get(prefix, '_')}{milliseconds:012x}{secrets.token_hex(10)}"


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
