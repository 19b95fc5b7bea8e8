"""OpenAI's filter grammar: what matches, and what is refused where."""

from typing import Any

import pytest

from deployments.errors import InvalidRequest
from deployments.retriever.filters import matches, validate_filter

ATTRIBUTES = {"year": 2024, "lang": "en", "draft": False, "score": 1.5}


def one(kind: str, key: str, value: Any) -> dict[str, Any]:
    return {"type": kind, "key": key, "value": value}


@pytest.mark.parametrize(
    ("condition", "expected"),
    [
        (one("eq", "year", 2024), True),
        (one("eq", "year", 2024.0), True),
        (one("eq", "year", "2024"), False),
        (one("eq", "draft", False), True),
        (one("eq", "draft", 0), False),
        (one("ne", "year", 2024), False),
        (one("ne", "missing", 1), True),
        (one("eq", "missing", 1), False),
        (one("gt", "year", 2023), True),
        (one("gt", "year", 2024), False),
        (one("gte", "year", 2024), True),
        (one("lt", "score", 2), True),
        (one("lte", "score", 1.5), True),
        (one("lt", "lang", "fr"), True),
        (one("lt", "lang", 3), False),
        (one("gt", "missing", 0), False),
        (one("gt", "draft", 0), False),
        (one("in", "lang", ["de", "en"]), True),
        (one("in", "draft", [0, 1]), False),
        (one("nin", "lang", ["de", "en"]), False),
        (one("nin", "missing", ["x"]), True),
    ],
)
def test_a_comparison_matches_values_of_its_kind(condition: dict[str, Any], expected: bool) -> None:
    validate_filter(condition)
    assert matches(condition, ATTRIBUTES) is expected


def test_and_or_nest() -> None:
    tree = {
        "type": "and",
        "filters": [
            one("eq", "lang", "en"),
            {"type": "or", "filters": [one("lt", "year", 2000), one("eq", "draft", False)]},
        ],
    }
    validate_filter(tree)
    assert matches(tree, ATTRIBUTES)
    assert not matches(tree, {**ATTRIBUTES, "draft": True})


@pytest.mark.parametrize(
    ("tree", "param"),
    [
        ([], "filters"),
        ({"key": "a", "value": 1}, "filters.type"),
        (one("like", "a", "b"), "filters.type"),
        ({"type": ["eq"], "key": "a", "value": 1}, "filters.type"),
        (one("eq", "", 1), "filters.key"),
        ({"type": "eq", "key": 3, "value": 1}, "filters.key"),
        (one("eq", "a", None), "filters.value"),
        (one("eq", "a", [1]), "filters.value"),
        (one("gt", "a", True), "filters.value"),
        (one("in", "a", "b"), "filters.value"),
        (one("in", "a", []), "filters.value"),
        (one("in", "a", ["x", None]), "filters.value[1]"),
        ({**one("eq", "a", 1), "extra": 1}, "filters.extra"),
        ({"type": "and", "filters": []}, "filters.filters"),
        (
            {"type": "or", "filters": [one("eq", "a", 1), one("eq", "a", {})]},
            "filters.filters[1].value",
        ),
    ],
)
def test_a_mistake_is_named_by_its_place(tree: object, param: str) -> None:
    with pytest.raises(InvalidRequest) as caught:
        validate_filter(tree)
    assert caught.value.param == param


def test_depth_and_size_are_bounded() -> None:
    deep: dict[str, Any] = one("eq", "a", 1)
    for _ in range(9):
        deep = {"type": "and", "filters": [deep]}
    wide = {"type": "or", "filters": [one("eq", "a", 1)] * 101}
    for tree in (deep, wide):
        with pytest.raises(InvalidRequest):
            validate_filter(tree)
