"""Lists, page by page."""

from typing import Any, cast
from urllib.parse import parse_qsl, urlsplit

import pytest

from cluster.paging import Query, pages_of


class Lists:
    """A client of a list of numbers."""

    def __init__(self, count: int) -> None:
        self.objects = [{"id": str(number)} for number in range(count)]
        self.asked: list[list[tuple[str, str]]] = []

    def get(self, path: str, *, cast_to: object) -> dict[str, Any]:
        assert cast_to is object
        query = parse_qsl(urlsplit(path).query)
        self.asked.append(query)
        named = dict(query)
        start = int(named["after"]) + 1 if "after" in named else 0
        page = self.objects[start : start + int(named["limit"])]
        more = start + len(page) < len(self.objects)
        return {"data": page, "has_more": more, "last_id": page[-1]["id"] if page else None}


def read(lists: Lists, query: Query = (), most: int | None = None) -> list[int]:
    found = pages_of(cast("Any", lists), "/things", query, most)
    return [int(one["id"]) for one in found]


@pytest.mark.parametrize(("count", "most"), [(0, None), (250, None), (250, 120), (3, 10), (5, 0)])
def test_all_are_given_or_as_many_as_are_wanted(count: int, most: int | None) -> None:
    lists = Lists(count)
    assert read(lists, most=most) == list(range(count if most is None else min(count, most)))
    limits = [int(dict(query)["limit"]) for query in lists.asked]
    assert sum(limits) <= (100 * len(limits) if most is None else most)


def test_a_list_goes_on_where_it_was_left_with_every_word_of_its_query() -> None:
    lists = Lists(130)
    query = [("model", "a"), ("model", "b&c"), ("user", None), ("after", "9")]
    assert read(lists, query) == list(range(10, 130))
    assert lists.asked[0] == [("model", "a"), ("model", "b&c"), ("after", "9"), ("limit", "100")]
    assert lists.asked[1][-2:] == [("after", "109"), ("limit", "100")]
