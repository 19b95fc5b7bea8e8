"""OpenAI's attribute filters: checked with the place of each mistake, then matched in Python.

`{"type": "eq" | "ne" | "gt" | "gte" | "lt" | "lte" | "in" | "nin", "key": …, "value": …}`, and
`{"type": "and" | "or", "filters": […]}` over those. An attribute that a file does not have
differs from every value: only `ne` and `nin` match it. Numbers are compared with numbers and
strings with strings; across kinds nothing is equal, less or greater.
"""

from collections.abc import Mapping
from typing import Any, Final

from deployments.errors import InvalidRequest

__all__ = ["matches", "validate_filter"]

_COMPOUND: Final = ("and", "or")
_ORDER: Final = ("gt", "gte", "lt", "lte")
_SET: Final = ("in", "nin")
_COMPARISONS: Final = ("eq", "ne", *_ORDER, *_SET)
_MAX_DEPTH: Final = 8
_MAX_CONDITIONS: Final = 100
_MAX_VALUES: Final = 1000

Value = str | float | int | bool


def validate_filter(tree: object, param: str = "filters") -> None:
    """Raise InvalidRequest, naming the place below `param`, unless `tree` is a filter."""
    _check(tree, param, 1, [0])


def matches(tree: Mapping[str, Any], attributes: Mapping[str, Any]) -> bool:
    """Whether `attributes` satisfy a filter that `validate_filter` accepts."""
    kind = tree["type"]
    if kind == "and":
        return all(matches(part, attributes) for part in tree["filters"])
    if kind == "or":
        return any(matches(part, attributes) for part in tree["filters"])
    value, wanted = attributes.get(tree["key"]), tree["value"]
    if kind in ("eq", "ne"):
        return _same(value, wanted) is (kind == "eq")
    if kind in _SET:
        return any(_same(value, one) for one in wanted) is (kind == "in")
    return _ordered(kind, value, wanted)


def _check(tree: object, param: str, depth: int, seen: list[int]) -> None:
    if not isinstance(tree, Mapping):
        raise InvalidRequest(f"{param} must be an object with a `type`.", param=param)
    kind = tree.get("type")
    if kind in _COMPOUND:
        _keys(tree, {"type", "filters"}, param)
        parts = tree.get("filters")
        if not isinstance(parts, list) or not parts:
            raise InvalidRequest(
                f"{param}.filters must be a list of at least one filter.",
                param=f"{param}.filters",
            )
        if depth >= _MAX_DEPTH:
            raise InvalidRequest(f"{param} is nested deeper than {_MAX_DEPTH}.", param=param)
        for index, part in enumerate(parts):
            _check(part, f"{param}.filters[{index}]", depth + 1, seen)
        return
    if kind not in _COMPARISONS:
        raise InvalidRequest(
            f"{param}.type is {kind!r}; allowed: {', '.join((*_COMPARISONS, *_COMPOUND))}.",
            param=f"{param}.type",
        )
    seen[0] += 1
    if seen[0] > _MAX_CONDITIONS:
        raise InvalidRequest(f"A filter has at most {_MAX_CONDITIONS} conditions.", param=param)
    _keys(tree, {"type", "key", "value"}, param)
    if not isinstance(tree.get("key"), str) or not tree["key"]:
        raise InvalidRequest(f"{param}.key must be an attribute's name.", param=f"{param}.key")
    _check_value(str(kind), tree.get("value"), f"{param}.value")


def _keys(tree: Mapping[str, Any], allowed: set[str], param: str) -> None:
    if surplus := sorted(tree.keys() - allowed):
        raise InvalidRequest(
            f"{param}.{surplus[0]} is not part of a filter.", param=f"{param}.{surplus[0]}"
        )


def _check_value(kind: str, value: object, param: str) -> None:
    if kind in _SET:
        if not isinstance(value, list) or not 1 <= len(value) <= _MAX_VALUES:
            raise InvalidRequest(
                f"{param} must be a list of 1 to {_MAX_VALUES} values for {kind}.", param=param
            )
        for index, one in enumerate(value):
            if not isinstance(one, str | int | float):
                raise InvalidRequest(
                    f"{param}[{index}] must be a string, number or boolean.",
                    param=f"{param}[{index}]",
                )
    elif kind in _ORDER:
        if isinstance(value, bool) or not isinstance(value, str | int | float):
            raise InvalidRequest(f"{param} must be a number or string for {kind}.", param=param)
    elif not isinstance(value, str | int | float):
        raise InvalidRequest(f"{param} must be a string, number or boolean.", param=param)


def _kind(value: object) -> type | None:
    if isinstance(value, bool):
        return bool
    if isinstance(value, int | float):
        return float
    return str if isinstance(value, str) else None


def _same(one: object, other: object) -> bool:
    return _kind(one) is not None and _kind(one) is _kind(other) and one == other


def _ordered(kind: str, value: Any, wanted: Any) -> bool:
    if _kind(value) not in (float, str) or _kind(value) is not _kind(wanted):
        return False
    if kind == "gt":
        return bool(value > wanted)
    if kind == "gte":
        return bool(value >= wanted)
    return bool(value < wanted) if kind == "lt" else bool(value <= wanted)
