"""What an experiment comes to."""

import math

import pytest

from deployments.experiments.statistics import Difference, Rule, decide
from deployments.experiments.statistics.decision import Outcome, Standing, standing_of


def known(low: float, high: float, units: int = 100, estimate: float | None = None) -> Difference:
    middle = (low + high) / 2 if estimate is None else estimate
    return Difference(middle, low, high, 0.5, units, units, 0.5, 0.5 + middle)


@pytest.mark.parametrize(
    ("low", "high", "standing"),
    [
        (0.001, 0.2, "better"),
        (0.0, 0.2, "open"),
        (-0.1, 0.1, "open"),
        (-0.04, 0.04, "equivalent"),
        (-0.2, 0.0, "open"),
        (-0.2, -0.001, "worse"),
    ],
)
def test_how_an_arm_stands(low: float, high: float, standing: Standing) -> None:
    assert standing_of(known(low, high), Rule(margin=0.05)) == standing
    turned = Rule(margin=0.05, higher_is_better=False)
    assert standing_of(known(-high, -low), turned) == standing


def test_an_arm_has_to_be_better_by_more_than_asked() -> None:
    assert standing_of(known(0.02, 0.2), Rule(min_effect=0.02)) == "open"
    assert standing_of(known(0.021, 0.2), Rule(min_effect=0.02)) == "better"


@pytest.mark.parametrize(
    ("differences", "outcome", "arm", "dropped"),
    [
        ({"b": known(0.1, 0.2)}, "winner", "b", ()),
        ({"b": known(0.1, 0.2), "c": known(0.15, 0.3)}, "winner", "c", ()),
        ({"b": known(0.1, 0.2), "c": known(-0.3, -0.1)}, "winner", "b", ("c",)),
        ({"b": known(-0.1, 0.2), "c": known(-0.3, -0.1)}, "continue", None, ("c",)),
        ({"b": known(-0.2, -0.1), "c": known(-0.3, -0.1)}, "control", None, ("b", "c")),
        ({"b": known(-0.04, 0.04), "c": known(-0.3, -0.1)}, "equivalent", None, ("c",)),
        ({"b": known(-0.04, 0.04), "c": known(-0.3, 0.1)}, "continue", None, ()),
        ({"b": known(-0.1, 0.2, units=500)}, "undecided", None, ()),
        ({}, "control", None, ()),
    ],
)
def test_the_outcome(
    differences: dict[str, Difference], outcome: Outcome, arm: str | None, dropped: tuple[str, ...]
) -> None:
    found = decide(differences, Rule(margin=0.05, max_units=1000))
    assert (found.outcome, found.arm, found.dropped) == (outcome, arm, dropped)
    assert found.reason


def test_the_winner_is_told_with_its_numbers() -> None:
    found = decide({"b": known(-0.3, -0.1)}, Rule(higher_is_better=False))
    assert found.outcome == "winner"
    assert found.reason == "b is better than the control by 0.2 (surely 0.1 to 0.3)."


def test_units_of_the_control_count_once() -> None:
    arms = {"b": known(-0.1, 0.2, units=400), "c": known(-0.1, 0.2, units=400)}
    assert decide(arms, Rule(max_units=1201)).outcome == "continue"
    assert decide(arms, Rule(max_units=1200)).outcome == "undecided"


def test_a_sample_ratio_that_is_off_blocks_every_winner_but_still_drops() -> None:
    arms = {"b": known(0.1, 0.2), "c": known(-0.3, -0.1)}
    found = decide(arms, Rule(), ratio_alarm=True)
    assert (found.outcome, found.arm, found.dropped) == ("blocked", None, ("c",))


@pytest.mark.parametrize(
    ("field", "value"),
    [("min_effect", -0.1), ("min_effect", math.nan), ("margin", 0.0), ("max_units", 0)],
)
def test_a_rule_has_to_make_sense(field: str, value: float) -> None:
    with pytest.raises(ValueError, match=f"{field} is"):
        Rule(**{field: value})  # type: ignore[arg-type]
