"""How a value that is wrong is shown to the person who wrote it."""

import json
from collections.abc import Callable, Collection, Mapping
from difflib import get_close_matches
from typing import Any, Final

__all__ = ["Say", "listed", "seen", "unknown_keys"]

Say = Callable[[str, str], None]
"""Reports a problem: the field's path, and what is wrong with it."""

_LONGEST: Final = 60


def seen(value: Any) -> str:
    """The value as JSON, cut; of an object and a list only that it is one."""
    if isinstance(value, Mapping):
        return "an object"
    if isinstance(value, list | tuple):
        return "a list"
    if not isinstance(value, str | int | float | bool | None):
        return f"of type {type(value).__name__}"
    text = json.dumps(value, ensure_ascii=False)
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def listed(names: Collection[str]) -> str:
    """`a`, `b` and `c`."""
    quoted = [f"`{name}`" for name in names]
    return " and ".join(filter(None, (", ".join(quoted[:-1]), quoted[-1] if quoted else "")))


def unknown_keys(record: Mapping[str, Any], allowed: Collection[str], at: str, say: Say) -> None:
    """Report each key that has a value and is not allowed."""
    for key, value in record.items():
        if key in allowed or value is None:
            continue
        near = get_close_matches(key, allowed, n=1)
        hint = f"did you mean `{near[0]}`?" if near else f"allowed are {listed(sorted(allowed))}."
        say(f"{at}.{key}" if at else key, f"is an unknown key; {hint}")
