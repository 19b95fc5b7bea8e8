"""Probabilities of labels, by numbers worked out by hand."""

import math
from collections.abc import Mapping, Sequence
from typing import Any

import pytest

from deployments.evaluation.judges.distribution import probabilities, spread_of, weighted_mean
from deployments.evaluation.judges.shape import Found

DIGITS = {digit: digit for digit in "12345"}


def _token(text: str, top: Mapping[str, float]) -> dict[str, Any]:
    told = [{"token": other, "logprob": math.log(chance)} for other, chance in top.items()]
    return {"token": text, "logprob": math.log(top.get(text, 0.5)), "top_logprobs": told}


def _found(label: str, start: int = 0, end: str = "") -> Found:
    return Found(label, start, end)


def test_the_allowed_scores_are_weighted_and_others_left_out() -> None:
    top = {"4": 0.5, "5": 0.3, "2": 0.1, "The": 0.1}
    chances = probabilities("4", _found("4"), [_token("4", top)], DIGITS)
    assert chances == pytest.approx(
        {"1": 0, "2": 0.1 / 0.9, "3": 0, "4": 0.5 / 0.9, "5": 0.3 / 0.9}
    )
    values = {digit: float(digit) for digit in DIGITS}
    assert chances is not None
    mean = (2 * 0.1 + 4 * 0.5 + 5 * 0.3) / 0.9  # 4.111…
    assert weighted_mean(chances, values) == pytest.approx(mean, abs=1e-12)
    square = (4 * 0.1 + 16 * 0.5 + 25 * 0.3) / 0.9 - mean**2
    assert spread_of(chances, values) == pytest.approx(math.sqrt(square), abs=1e-12)


def test_the_verdicts_token_is_found_inside_json() -> None:
    tokens = [
        _token('{"', {'{"': 1.0}),
        _token("verdict", {"verdict": 1.0}),
        _token('": "', {'": "': 0.9, '":"': 0.1}),
        _token("4", {"4": 0.75, "3": 0.25}),
        _token('"}', {'"}': 1.0}),
    ]
    chances = probabilities('{"verdict": "4"}', _found("4", 13, '"'), tokens, DIGITS)
    assert chances == pytest.approx({"1": 0, "2": 0, "3": 0.25, "4": 0.75, "5": 0})


def test_a_token_may_hold_what_stands_around_the_verdict() -> None:
    tokens = [
        _token('{"verdict":', {'{"verdict":': 1.0}),
        _token(' "4"}', {' "4"}': 0.6, ' "2"}': 0.2, "9": 0.2}),
    ]
    chances = probabilities('{"verdict": "4"}', _found("4", 13, '"'), tokens, DIGITS)
    assert chances == pytest.approx({"1": 0, "2": 0.25, "3": 0, "4": 0.75, "5": 0})


def test_a_label_may_begin_with_several_tokens() -> None:
    top = {"in": 0.3, "incor": 0.1, "cor": 0.4, "correct": 0.2}
    spellings = {"correct": "correct", "incorrect": "incorrect"}
    tokens = [_token("in", top), _token("correct", {"correct": 1.0})]
    chances = probabilities("incorrect", _found("incorrect"), tokens, spellings)
    assert chances == pytest.approx({"correct": 0.6, "incorrect": 0.4})


def test_labels_that_begin_alike_have_no_probabilities() -> None:
    spellings = {"1": "1", "10": "10"}
    assert probabilities("1", _found("1"), [_token("1", {"1": 0.9})], spellings) is None


def test_a_closed_string_tells_labels_apart_that_begin_alike() -> None:
    spellings = {"1": "1", "10": "10"}
    tokens = [
        _token('{"verdict":"', {'{"verdict":"': 1.0}),
        _token('1"}', {'1"}': 0.8, '10"': 0.2}),
    ]
    chances = probabilities('{"verdict":"1"}', _found("1", 12, '"'), tokens, spellings)
    assert chances == pytest.approx({"1": 0.8, "10": 0.2})


def test_a_blank_that_decoding_drops_does_not_hide_the_verdict() -> None:
    chances = probabilities("4", _found("4"), [_token(" 4", {" 4": 0.5, " 5": 0.5})], DIGITS)
    assert chances == pytest.approx({"1": 0, "2": 0, "3": 0, "4": 0.5, "5": 0.5})


def test_the_chosen_token_counts_where_the_top_leaves_it_out() -> None:
    token = {"token": "4", "logprob": math.log(0.5), "top_logprobs": []}
    chances = probabilities("4", _found("4"), [token], DIGITS)
    assert chances is not None
    assert chances["4"] == 1.0


@pytest.mark.parametrize(
    "tokens",
    [
        [],
        [{"token": "4"}],
        [{"token": "3", "logprob": -0.1, "top_logprobs": []}],
    ],
)
def test_without_log_probabilities_there_is_no_distribution(
    tokens: Sequence[Mapping[str, Any]],
) -> None:
    assert probabilities("4", _found("4"), tokens, DIGITS) is None
