"""Parts of the held-out set that lose while the whole wins."""

import pytest

from training.examples import TextExample
from training.gate.comparison import worse_given_behind
from training.gate.items import HeldOut
from training.gate.metrics import METRICS
from training.gate.settings import Bounds, GateSettings
from training.gate.slices import holm, judge_slices, slice_rule

EXACT = METRICS["exact_match"]


def _items(*parts: tuple[str, int]) -> list[HeldOut]:
    names = [name for name, count in parts for _ in range(count)]
    return [
        HeldOut(number, TextExample("", name), name, {"kind": name.upper()})
        for number, name in enumerate(names, start=1)
    ]


def test_holm_by_hand() -> None:
    assert holm([0.01, 0.04, 0.03]) == pytest.approx([0.03, 0.06, 0.06])
    assert holm([0.9, 0.6]) == [1.0, 1.0]
    assert holm([]) == []


def test_a_slice_that_falls_is_found_beside_one_that_rises() -> None:
    items = _items(("won", 40), ("lost", 30), ("few", 5))
    theirs = [0.0] * 40 + [1.0] * 30 + [1.0] * 5
    ours = [1.0] * 40 + [0.0] * 12 + [1.0] * 18 + [0.0] * 5  # 5 lost of 5 would be no evidence
    found = judge_slices(items, ours, theirs, EXACT, GateSettings(slice_by="reference"))
    lost, won, few = found.slices
    assert (lost.name, lost.verdict, lost.items) == ("lost", "regression", 30)
    assert lost.candidate == pytest.approx(0.6)
    assert lost.difference == pytest.approx(-0.4)
    assert lost.p_value == pytest.approx(2 * 0.5**12)  # Holm over two judged slices
    assert (won.verdict, few.verdict, few.p_value) == ("fine", "too small", None)
    assert [one.name for one in found.judged] == ["lost", "won"]


def test_a_small_slice_that_is_lost_is_found_among_many_that_win() -> None:
    names = [f"won {number}" for number in range(60)]
    items = _items(("lost", 7), *((name, 6) for name in names))
    ours, theirs = [0.0] * 7 + [1.0] * 360, [1.0] * 7 + [0.0] * 360
    found = judge_slices(items, ours, theirs, EXACT, GateSettings(slice_by="reference"))
    lost, won = found.slices[:2]
    assert (lost.name, lost.verdict) == ("lost", "regression")
    # One of the 2⁷ outcomes, of the 64 in which fewer than half are ahead; the only one behind.
    assert lost.p_value == pytest.approx(1 / 64)
    assert (won.verdict, won.p_value) == ("fine", 1.0)
    assert len(found.judged) == 61


def test_where_more_small_slices_are_behind_each_needs_more_evidence() -> None:
    items = _items(("lost", 7), *((f"behind {number}", 7) for number in range(3)))
    theirs = [1.0] * 7 + [1.0, 1.0, 1.0, 1.0, 0.0, 0.0, 0.0] * 3
    ours = [0.0] * 7 + [0.0, 0.0, 0.0, 0.0, 1.0, 1.0, 1.0] * 3
    found = judge_slices(items, ours, theirs, EXACT, GateSettings(slice_by="reference"))
    lost, *behind = found.slices
    assert lost.verdict == "suspect"
    assert lost.p_value == pytest.approx(4 / 64)
    assert {(one.verdict, one.p_value) for one in behind} == {("suspect", 1.0)}


def test_a_small_slice_counts_the_items_that_differ_only() -> None:
    items = _items(("same", 19), ("differs", 19))
    theirs = [1.0] * 19 + [1.0] * 6 + [0.0] * 13
    ours = [1.0] * 14 + [0.0] * 5 + [0.0] * 6 + [0.0] * 13
    found = judge_slices(items, ours, theirs, EXACT, GateSettings(slice_by="reference"))
    differs, same = found.slices
    assert differs.verdict == "regression"
    assert differs.p_value == pytest.approx(1 / 22)
    assert (same.verdict, same.p_value) == ("too small", None)


def test_a_p_value_given_behind_by_hand() -> None:
    assert worse_given_behind(0, 6) == pytest.approx(1 / (1 + 6 + 15))
    assert worse_given_behind(1, 4) == pytest.approx((1 + 5) / (1 + 5 + 10))
    assert worse_given_behind(2, 3) == 1.0
    assert worse_given_behind(3, 3) is worse_given_behind(0, 0) is None


def test_a_fall_without_evidence_is_a_suspect() -> None:
    items = _items(("lost", 30))
    ours, theirs = [0.0] * 2 + [1.0] * 28, [1.0] * 30
    (one,) = judge_slices(items, ours, theirs, EXACT, GateSettings(slice_by="reference")).slices
    assert one.verdict == "suspect"
    assert one.p_value == pytest.approx(0.25)


def test_a_proven_fall_within_its_bound_is_fine() -> None:
    items = _items(("lost", 100))
    ours, theirs = [0.0] * 8 + [1.0] * 92, [1.0] * 100
    settings = GateSettings(slice_by="reference", bounds=Bounds(slice=0.1))
    (one,) = judge_slices(items, ours, theirs, EXACT, settings).slices
    assert one.p_value is not None
    assert one.p_value < 0.05
    assert one.verdict == "fine"


def test_slices_go_by_metadata_too() -> None:
    items = [*_items(("a", 25)), HeldOut(26, TextExample("", "b"), "b")]
    scores = [1.0] * 26
    found = judge_slices(items, scores, scores, EXACT, GateSettings(slice_by="metadata.kind"))
    assert {one.name: one.items for one in found.slices} == {"A": 25, "(without)": 1}


def test_auto_slices_by_references_that_repeat() -> None:
    assert slice_rule(_items(("a", 3), ("b", 3)), EXACT, "auto") == "reference"
    assert slice_rule(_items(("a", 1), ("b", 1), ("c", 1)), EXACT, "auto") == "none"
    assert slice_rule(_items(("a", 6)), EXACT, "auto") == "none"
    assert slice_rule(_items(("a", 3), ("b", 3)), METRICS["token_f1"], "auto") == "none"
    assert slice_rule(_items(("a", 3)), EXACT, "metadata.kind") == "metadata.kind"
