"""What no text for a client may tell: stack traces, paths, modules, SQL, files of the system."""

import re
from typing import Final

__all__ = ["leaked"]

_LEAKS: Final = {
    "stack trace": re.compile(r"""Traceback \(most recent|File \\?"[^"]+", line \d+"""),
    "path": re.compile(
        r"(?:/(?:usr|home|root|opt|var|tmp|work|proc)/[\w.-]+)|site-packages|\w\.py\b"
    ),
    "module": re.compile(
        r"\b(?:deployments|cluster|ingestion|training)\.[a-z]+\.[a-z_]+|<class '|object at 0x"
        r"|\b(?:sqlalchemy|sqlite3|psycopg|pydantic|starlette|fastapi|uvicorn|pymilvus|jinja2)\b",
        re.I,
    ),
    "SQL": re.compile(
        r"\bSELECT\b.{0,400}\bFROM\b|\bINSERT INTO\b|\bUPDATE \w+ SET\b|\bDELETE FROM\b"
        r"|UNIQUE constraint|FOREIGN KEY|\[SQL:",
        re.S,
    ),
    "system file": re.compile(r"root:[x*]:0:0"),
}
_AROUND: Final = 80


def leaked(text: str, sent: bytes) -> list[str]:
    """What `text` tells, each with its surroundings, but for what is in `sent` itself."""
    told = sent.decode("utf-8", errors="replace")
    found = []
    for kind, pattern in _LEAKS.items():
        match = pattern.search(text)
        if match is not None and match.group() not in told:
            around = text[max(0, match.start() - _AROUND) : match.end() + _AROUND]
            found.append(f"{kind}: {around!r}")
    return found
