"""Lists of the API, page by page."""

from collections.abc import Iterator, Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final
from urllib.parse import urlencode

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = ["Query", "pages_of"]

_PAGE: Final = 100
Query = Mapping[str, Any] | Sequence[tuple[str, Any]]
"""What a list is asked for; pairs may name a field more than once. None is left out."""


def pages_of(
    client: "OpenAI", path: str, query: Query = (), most: int | None = None
) -> Iterator[dict[str, Any]]:
    """The objects of a list: at most `most`, or all. Whoever reads no further asks no further."""
    pairs = query.items() if isinstance(query, Mapping) else query
    asked = [(name, value) for name, value in pairs if value is not None and name != "after"]
    after = next((value for name, value in pairs if name == "after"), None)
    given = 0
    while most is None or given < most:
        limit = _PAGE if most is None else min(_PAGE, most - given)
        place = [] if after is None else [("after", after)]
        target = f"{path}?{urlencode([*asked, *place, ('limit', limit)])}"
        page: Any = client.get(target, cast_to=object)
        yield from page["data"]
        given += len(page["data"])
        if not page["has_more"]:
            return
        after = page["last_id"]
