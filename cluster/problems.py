"""One of pydantic's errors as a line: the key, the value seen, and what is wrong with it."""

from typing import TYPE_CHECKING, Any, Final

from cluster.masking import MASK, is_secret, shown

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

__all__ = ["key_of", "problem_of"]

_MAPPINGS: Final = frozenset({"headers", "options"})
"""Settings that hold secrets by names of others' choice: what stands in their place may be one."""


def key_of(item: "ErrorDetails", within: str = "") -> str:
    """Where it is, as `a.b.0`; `within` names what was validated, where that has a name."""
    parts = [within] if within else []
    return ".".join([*parts, *map(str, item["loc"])]) or "settings"


def problem_of(item: "ErrorDetails", within: str = "") -> str:
    """`key = value: message`. Neither a secret is shown, nor what may hold one."""
    key, value = key_of(item, within), item.get("input")
    shown_value = "" if _hidden(item, value) else f" = {_told(key, value)}"
    return f"{key}{shown_value}: {item['msg'].removeprefix('Value error, ')}"


def _hidden(item: "ErrorDetails", value: Any) -> bool:
    """A whole section, what is missing, and what has a name that says nothing of its value."""
    whole = isinstance(value, dict) or (
        isinstance(value, list | tuple) and any(isinstance(one, dict) for one in value)
    )
    return whole or item["type"] in {"missing", "extra_forbidden"}


def _told(key: str, value: Any) -> str:
    if key.rsplit(".", 1)[-1] in _MAPPINGS or is_secret(key):
        return MASK
    return repr(shown(key, value))
