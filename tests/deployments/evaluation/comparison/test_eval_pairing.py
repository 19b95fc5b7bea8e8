"""Which items become pairs."""

from typing import Any

from deployments.evaluation.comparison.pairing import pair_items
from deployments.evaluation.comparison.scored import ScoredItem, field_text, is_synthetic


def _items(*items: dict[str, Any]) -> list[ScoredItem]:
    return [ScoredItem(number, item) for number, item in enumerate(items, start=1)]


def _numbers(found: list[ScoredItem] | tuple[ScoredItem, ...]) -> list[int]:
    return [one.number for one in found]


def test_the_same_item_is_a_pair_whatever_its_place_and_order_of_fields() -> None:
    old = _items({"q": "a", "r": 1}, {"q": "b", "r": 2})
    new = _items({"r": 2, "q": "b"}, {"r": 1, "q": "a"})
    pairs = pair_items(old, new, "item").pairs
    assert [(p.baseline.number, p.candidate.number) for p in pairs] == [(1, 2), (2, 1)]


def test_items_that_are_alike_pair_in_their_order_and_the_rest_is_left() -> None:
    found = pair_items(_items({"q": "a"}, {"q": "a"}, {"q": "a"}), _items({"q": "a"}), "item")
    assert [(p.baseline.number, p.candidate.number) for p in found.pairs] == [(1, 1)]
    assert _numbers(found.baseline_only) == [2, 3]
    assert found.candidate_only == ()


def test_a_field_pairs_items_that_carry_their_answers() -> None:
    old = _items({"meta": {"id": "1"}, "answer": "x"}, {"answer": "no id"})
    new = _items({"meta": {"id": "2"}}, {"meta": {"id": "1"}, "answer": "y"})
    assert pair_items(old, new, "item").pairs == ()
    found = pair_items(old, new, "item.meta.id")
    assert [(p.baseline.number, p.candidate.number) for p in found.pairs] == [(1, 2)]
    assert _numbers(found.baseline_only) == [2]
    assert _numbers(found.candidate_only) == [1]


def test_numbers_pair_whatever_the_items_are() -> None:
    found = pair_items(_items({"q": "a"}, {"q": "b"}), _items({"q": "c"}), "number")
    assert [(p.baseline.number, p.candidate.number) for p in found.pairs] == [(1, 1)]
    assert _numbers(found.baseline_only) == [2]


def test_fields_are_read_by_their_path_as_text() -> None:
    item = {"a": {"b": "x", "n": 3, "none": None}, "l": [1, 2]}
    assert [field_text(item, path) for path in ("a.b", "a.n", "l", "a.none", "a.b.c", "z")] == [
        "x",
        "3",
        "[1, 2]",
        None,
        None,
        None,
    ]


def test_synthetic_items_are_known_by_their_own_word() -> None:
    marked: list[dict[str, Any]] = [
        {"synthetic": True},
        {"synthetic": {"by": "a model"}},
        {"metadata": {"synthetic": "true"}},
    ]
    plain: list[dict[str, Any]] = [
        {},
        {"synthetic": False},
        {"synthetic": "false"},
        {"metadata": "text"},
    ]
    assert all(map(is_synthetic, marked))
    assert not any(map(is_synthetic, plain))
