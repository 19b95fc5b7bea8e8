"""Which fields of the items the `{{item.FIELD}}` of a suite read."""

import re
from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

__all__ = ["item_fields", "templates_of"]

_REFERENCE: Final = re.compile(r"\{\{\s*item\.([A-Za-z_][\w-]*)")


def item_fields(template: str) -> set[str]:
    """Names of the items' own fields; of `{{item.a.b}}` it is `a`."""
    return set(_REFERENCE.findall(template))


def templates_of(
    value: Any, location: tuple[str | int, ...] = ()
) -> Iterator[tuple[tuple[str | int, ...], str]]:
    """Every text within a tree, with where it stands."""
    if isinstance(value, str):
        yield location, value
    elif isinstance(value, Mapping):
        for key, inner in value.items():
            yield from templates_of(inner, (*location, str(key)))
    elif isinstance(value, Sequence):
        for position, inner in enumerate(value):
            yield from templates_of(inner, (*location, position))
