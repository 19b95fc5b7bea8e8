"""Text that a database can hold."""

from typing import Any

__all__ = ["storable", "tree"]


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
