"""One of pydantic's errors as a line: the key, the value seen, and what is wrong with it."""

from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["key_of", "problem_of"]


def key_of(item: "ErrorDetails", within: str = "") -> str:
    """Where it is, as `a.b.0`; `within` names what was validated, where that has a name."""
    parts = [within] if within else []
    return ".".join([*parts, *map(str, item["loc"])]) or "settings"


def problem_of(item: "ErrorDetails", within: str = "") -> str:
    """`key = value: message`. A value that is a whole section is not shown."""
    value = item.get("input")
    hidden = isinstance(value, dict) or item["type"] == "missing"
    shown = "" if hidden else f" = {value!r}"
    return f"{key_of(item, within)}{shown}: {item['msg'].removeprefix('Value error, ')}"
