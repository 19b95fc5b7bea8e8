"""A unit's signal: by hand, within its bounds, and right on average."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.experiments.statistics.contrast import Contrast, Observation

SCORES = st.floats(0, 1)
SHARES = st.floats(0.001, 0.999)
UNITS = st.lists(st.builds(Observation, st.booleans(), SCORES, SHARES), max_size=12)


def after(units: list[Observation]) -> Contrast:
    contrast = Contrast()
    for one in units:
        contrast.signal(one)
    return contrast


def test_the_first_units_signals_are_those_made_by_hand() -> None:
    contrast = Contrast()
    assert contrast.signal(Observation(True, 1.0)) == (1.0, -1.0, 1.0)
    # Guesses: the arm (0.5·1 + 0.25)/(0.5 + 0.5) = 0.75, the control 0.5; m is 0.625.
    assert contrast.signal(Observation(False, 0.0)) == (1.25, -1.25, 1.25)


def test_a_unit_of_a_small_arm_weighs_more() -> None:
    signal = Contrast().signal(Observation(True, 1.0, share=0.1))
    assert signal == pytest.approx((5.0, -5.0, 5.0))


@given(UNITS, SCORES, SCORES, SHARES)
def test_the_signal_is_the_difference_on_average_over_the_assignment(
    past: list[Observation], treated: float, control: float, share: float
) -> None:
    one = after(past).signal(Observation(True, treated, share)).value
    other = after(past).signal(Observation(False, control, share)).value
    assert share * one + (1 - share) * other == pytest.approx(treated - control, abs=1e-9)


@given(UNITS, st.booleans(), SCORES, SHARES)
def test_the_signal_lies_within_its_bounds_and_they_reach_beyond_any_difference(
    past: list[Observation], treated: bool, score: float, share: float
) -> None:
    value, least, most = after(past).signal(Observation(treated, score, share))
    assert least <= -1 + 1e-12
    assert most >= 1 - 1e-12
    assert least - 1e-9 <= value <= most + 1e-9


@pytest.mark.parametrize("score", [-0.1, 1.1, math.nan, math.inf])
def test_a_score_out_of_bounds_is_refused(score: float) -> None:
    with pytest.raises(ValueError, match=r"score is .*\[0\.0, 1\.0\]"):
        Contrast().signal(Observation(True, score))


@pytest.mark.parametrize("share", [0.0, 1.0, -0.5, math.nan])
def test_a_share_that_leaves_an_arm_nothing_is_refused(share: float) -> None:
    with pytest.raises(ValueError, match=r"share is .* 0\.0001 to 0\.9999"):
        Contrast().signal(Observation(True, 0.5, share))


@pytest.mark.parametrize(("lowest", "highest"), [(1, 1), (2, 1), (0, math.inf), (math.nan, 1)])
def test_scores_need_a_finite_range(lowest: float, highest: float) -> None:
    with pytest.raises(ValueError, match="two finite bounds"):
        Contrast(lowest, highest)
