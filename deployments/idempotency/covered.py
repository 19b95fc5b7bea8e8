"""Which requests may name themselves."""

import re
from typing import Final

__all__ = ["is_covered", "shows_secret"]

_MAKES_NOTHING: Final = re.compile(
    r"/v1/(chat/completions|completions|embeddings|rerank|moderations|graders/\w+|feedback/tokens"
    r"|feedback/end-user"
    r"|vector_stores/[^/]+/search|prompts/[^/]+/render)/?"
)
"""POST routes that leave no record, and that of end users, who say the same twice without harm:
strangers' keys would stand among the project's. They are carried out anew each time."""
_SECRET: Final = re.compile(r"/v1/(.+/)?keys(/.*)?")


def is_covered(method: str, path: str) -> bool:
    """Whether a key counts: for every POST that makes or changes something."""
    return method == "POST" and path.startswith("/v1/") and not _MAKES_NOTHING.fullmatch(path)


def shows_secret(path: str) -> bool:
    """Whether the answer holds what is shown once, and must not be kept."""
    return bool(_SECRET.fullmatch(path))
