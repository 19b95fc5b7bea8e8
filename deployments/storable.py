"""Text and numbers that a database can hold."""

from typing import Annotated, Any, Final

from pydantic import Field

__all__ = ["MAX_COUNT", "Count", "Moment", "storable", "tree"]

MAX_COUNT: Final = 2**31 - 1
Count = Annotated[int, Field(ge=1, le=MAX_COUNT)]
"""So many of something, where nothing else bounds it."""
Moment = Annotated[int, Field(ge=0, lt=253_402_300_800)]
"""Seconds since the epoch, up to the year 9999."""


def storable(text: str) -> str:
    """`text` as it is; ValueError where a database cannot hold it."""
    if "\x00" in text:
        raise ValueError("Text must not hold the NUL character")
    try:
        text.encode()
    except UnicodeEncodeError as error:
        raise ValueError("Text must not hold half of a surrogate pair") from error
    return text


def tree(value: dict[str, Any]) -> dict[str, Any]:
    """Check every string of a JSON tree."""
    _walk(value)
    return value


def _walk(value: Any) -> None:
    if isinstance(value, str):
        storable(value)
    elif isinstance(value, dict):
        for key, item in value.items():
            storable(key)
            _walk(item)
    elif isinstance(value, list):
        for item in value:
            _walk(item)
