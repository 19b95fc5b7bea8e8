"""Exact, contained and matching texts."""

import unicodedata

import pytest

from deployments.evaluation.metrics import text
from tests.fixtures.answers import ANSWER_PAIRS, score, text_inputs

SAID = [said for said, _ in ANSWER_PAIRS]
WANTED = [wanted for _, wanted in ANSWER_PAIRS]


def plain(value: str) -> str:
    return " ".join(unicodedata.normalize("NFKC", value).casefold().split())


async def test_exact_match_is_equality_of_normal_forms() -> None:
    scores = await score("exact_match", text_inputs(SAID, WANTED))
    assert [one.value for one in scores] == [
        float(plain(said) == plain(wanted)) for said, wanted in ANSWER_PAIRS
    ]
    assert {one.value for one in scores} == {0.0, 1.0}


async def test_strict_exact_match_is_equality() -> None:
    scores = await score("exact_match", text_inputs(SAID, WANTED), strict=True)
    assert [one.value for one in scores] == [float(said == wanted) for said, wanted in ANSWER_PAIRS]


async def test_any_of_several_references_will_do() -> None:
    inputs = text_inputs(["two", "three", "2"], [["2", "Two"], ["2", "Two"], 2])
    assert [one.value for one in await score("exact_match", inputs)] == [1.0, 0.0, 1.0]


@pytest.mark.parametrize("reference", [None, [], {"a": 1}, [["a"]], [None]])
async def test_a_reference_that_is_no_text_is_told_and_the_others_are_scored(
    reference: object,
) -> None:
    wrong, right = await score("exact_match", text_inputs(["a", "a"], [reference, "a"]))
    assert wrong.value is None
    assert "must be a text or a list of texts" in wrong.detail["reason"]
    assert right.value == 1.0


async def test_contains_any_or_every_reference() -> None:
    inputs = text_inputs(["Paris and  Rome"] * 3, ["paris and rome", ["Bern", "rome"], "Bern"])
    assert [one.value for one in await score("contains", inputs)] == [1.0, 1.0, 0.0]
    every = await score("contains", inputs, every=True)
    assert [one.value for one in every] == [1.0, 0.0, 0.0]
    assert every[1].detail == {"found": 1, "of": 2}
    strict = await score("contains", inputs, strict=True)
    assert [one.value for one in strict] == [0.0, 0.0, 0.0]


async def test_an_empty_reference_is_contained_in_no_useful_sense() -> None:
    (found,) = await score("contains", text_inputs(["text"], [["", "text"]]))
    assert found.value is None


async def test_a_pattern_is_searched_or_matched_whole() -> None:
    inputs = text_inputs(["order AB-12 sent", "ab-12", "none"], [r"[A-Z]{2}-\d+"] * 3)
    assert [one.value for one in await score("regex_match", inputs)] == [1.0, 0.0, 0.0]
    whole = await score("regex_match", inputs, whole=True, ignore_case=True)
    assert [one.value for one in whole] == [0.0, 1.0, 0.0]
    assert whole[1].detail == {"match": "ab-12"}


@pytest.mark.parametrize(
    ("pattern", "reason"),
    [
        ("(", "is no pattern"),
        ("a" * 1001, "has 1001 characters; 1000 are allowed"),
        (3, "must be a pattern"),
    ],
)
async def test_a_pattern_that_cannot_be_used_is_told(pattern: object, reason: str) -> None:
    (found,) = await score("regex_match", text_inputs(["a"], [pattern]))
    assert found.value is None
    assert reason in found.detail["reason"]


async def test_a_pattern_that_backtracks_without_end_is_stopped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(text, "MATCH_SECONDS", 0.05)
    (found,) = await score("regex_match", text_inputs(["a" * 60 + "!"], [r"^(?:a|aa)+$"]))
    assert found.value is None
    assert "took longer" in found.detail["reason"]
