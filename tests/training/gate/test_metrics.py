"""What an answer is worth."""

import math

import pytest

from training.gate.metrics import METRICS, Observation, choose_metric


def _score(name: str, answer: str, reference: str) -> float:
    return next(m for m in METRICS.values() if m.name == name).score(Observation(answer, reference))


@pytest.mark.parametrize(
    ("answer", "expected"),
    [("  Card\n arrival ", 1.0), ("card arrival.", 0.0), ("card", 0.0), ("ｃａｒｄ arrival", 1.0)],
)
def test_exact_match_looks_over_case_and_spacing_only(answer: str, expected: float) -> None:
    assert _score("exact_match", answer, "card arrival") == expected


def test_token_f1_by_hand() -> None:
    # shared: the, cat (once) = 2 of 4 and of 3 words; F1 = 2·2/(4+3)
    assert _score("token_f1", "The cat, the dog", "the cat sat") == pytest.approx(4 / 7)
    assert _score("token_f1", "", "cat") == 0.0
    assert _score("token_f1", "…", "!") == 1.0


def test_log_likelihood_is_a_mean_by_token() -> None:
    told = Observation("", "", (math.log(0.5), math.log(0.125)))
    assert METRICS["log_likelihood"].score(told) == pytest.approx(math.log(0.25))
    with pytest.raises(ValueError, match="measured"):
        METRICS["log_likelihood"].score(Observation("a", "a"))


def test_auto_goes_by_the_length_of_nine_of_ten_references() -> None:
    short, long = "card arrival", "one two three four five six seven eight nine"
    assert choose_metric("auto", [short] * 9 + [long], 8).name == "exact_match"
    assert choose_metric("auto", [short] * 8 + [long] * 2, 8).name == "log_likelihood"
    assert choose_metric("auto", [long], 8, by_weights=False).name == "token_f1"
    assert choose_metric("token_f1", [short], 8).name == "token_f1"
