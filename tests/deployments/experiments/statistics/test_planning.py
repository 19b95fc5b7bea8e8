"""How many units are said to be needed."""

import math

import pytest

from deployments.experiments.statistics import units_to_decision


def test_half_the_effect_takes_four_times_the_units() -> None:
    first = units_to_decision(0.1, 0.5, alpha=0.05)
    second = units_to_decision(-0.05, 0.5, alpha=0.05)
    assert second == pytest.approx(4 * first, abs=4)


def test_an_uneven_split_costs_what_its_variance_costs() -> None:
    even = units_to_decision(0.1, 0.5, alpha=0.05)
    uneven = units_to_decision(0.1, 0.5, alpha=0.05, share=0.1)
    assert uneven == pytest.approx(even * 0.25 / 0.09, rel=0.01)
    assert uneven == units_to_decision(0.1, 0.5, alpha=0.05, share=0.9)


def test_a_smaller_error_takes_more() -> None:
    wide = units_to_decision(0.1, 0.5, alpha=0.05)
    assert units_to_decision(0.1, 0.5, alpha=0.005) - wide == pytest.approx(
        math.log(10) * 2 * 0.25 / (0.01 * 0.25), abs=1
    )


@pytest.mark.parametrize(
    ("effect", "deviation", "alpha", "share"),
    [(0, 0.5, 0.05, 0.5), (0.1, 0, 0.05, 0.5), (0.1, 0.5, 0, 0.5), (0.1, 0.5, 0.05, 1)],
)
def test_numbers_out_of_bounds_are_refused(
    effect: float, deviation: float, alpha: float, share: float
) -> None:
    with pytest.raises(ValueError, match=r"0"):
        units_to_decision(effect, deviation, alpha=alpha, share=share)
