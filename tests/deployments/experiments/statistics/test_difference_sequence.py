"""The confidence sequence: against one computed directly, its symmetries, and its errors."""

import math
from typing import NamedTuple

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.experiments.statistics import DifferenceSequence, Observation, alpha_of_each
from deployments.experiments.statistics.contrast import Contrast

UNITS = st.lists(
    st.builds(Observation, st.booleans(), st.floats(0, 1), st.floats(0.05, 0.95)), max_size=40
)


class Ends(NamedTuple):
    low: float
    high: float
    p_value: float


def ends(sequence: DifferenceSequence) -> Ends:
    return Ends(sequence.low, sequence.high, sequence.p_value)


def after(
    units: list[Observation], *, lowest: float = 0.0, highest: float = 1.0
) -> DifferenceSequence:
    sequence = DifferenceSequence(0.05, lowest=lowest, highest=highest)
    sequence.update(units)
    return sequence


def drawn(count: int, control: float, treatment: float, seed: int = 0) -> list[Observation]:
    chance = np.random.default_rng(seed)
    treated = chance.random(count) < 0.5
    scores = chance.random(count) < np.where(treated, treatment, control)
    return [Observation(*one) for one in zip(treated.tolist(), map(float, scores), strict=True)]


def test_nothing_is_known_before_the_first_unit() -> None:
    found = DifferenceSequence(0.05, lowest=1, highest=5).difference
    assert (found.low, found.high, found.p_value) == (-4, 4, 1)
    assert (found.estimate, found.mean_control, found.mean_treatment) == (None, None, None)
    assert (found.n_control, found.n_treatment) == (0, 0)


def test_the_interval_is_that_of_the_bets_computed_directly() -> None:
    """On a fine grid and with the whole past, instead of a coarse one that forgets."""
    units = drawn(300, 0.3, 0.7)
    contrast = Contrast()
    signals = np.array([contrast.signal(one) for one in units])
    grid = np.arange(-50, 450) * 0.002
    stakes = np.array([0.9 * 1.7**-step for step in range(10)])
    value, least, most = (signals[:, column, None, None] for column in range(3))
    rows = grid[:, None]
    up = np.cumsum(np.log1p((value - rows) / (rows - least) * stakes), axis=0)
    down = np.cumsum(np.log1p((rows - value) / (most - rows) * stakes), axis=0)
    logs = np.logaddexp.reduce(np.concatenate([up, down], axis=2), axis=2) - math.log(20)
    inside = grid[(logs < math.log(20)).all(axis=0)]
    peak = float(logs[:, 50].max())
    found = after(units)
    assert inside[0] - 0.003 <= found.low <= inside[0] + 0.002
    assert inside[-1] - 0.002 <= found.high <= inside[-1] + 0.003
    assert found.p_value == pytest.approx(math.exp(-peak))


def test_golden_values() -> None:
    found = after(drawn(1000, 0.5, 0.6)).difference
    assert found.n_control + found.n_treatment == 1000
    assert found.estimate is not None
    assert found.low < found.estimate < found.high
    golden = (0.0237252079, 0.1935794552, 0.0074188770, 0.0972475739)
    assert (found.low, found.high, found.p_value, found.estimate) == pytest.approx(golden, rel=1e-6)


@settings(max_examples=30)
@given(UNITS, st.integers(1, 7))
def test_batches_do_not_matter(units: list[Observation], size: int) -> None:
    whole, parts = after(units), DifferenceSequence(0.05)
    for start in range(0, len(units), size):
        parts.update(units[start : start + size])
    assert whole.difference == parts.difference


@settings(max_examples=30)
@given(UNITS, st.floats(-10, 10), st.floats(0.1, 10))
def test_the_scale_of_the_score_does_not_matter(
    units: list[Observation], shift: float, scale: float
) -> None:
    moved = [
        Observation(one.treated, min(shift + scale * one.score, shift + scale), one.share)
        for one in units
    ]
    plain = ends(after(units))
    scaled = ends(after(moved, lowest=shift, highest=shift + scale))
    told = (plain.low * scale, plain.high * scale, plain.p_value)
    assert scaled == pytest.approx(told, rel=1e-6, abs=1e-6)


@settings(max_examples=30)
@given(UNITS)
def test_swapping_the_arms_turns_the_interval_round(units: list[Observation]) -> None:
    swapped = [Observation(not one.treated, one.score, 1 - one.share) for one in units]
    plain, turned = ends(after(units)), ends(after(swapped))
    assert turned == pytest.approx((-plain.high, -plain.low, plain.p_value), abs=1e-9)


@settings(max_examples=30)
@given(UNITS)
def test_what_was_ruled_out_stays_out(units: list[Observation]) -> None:
    sequence, before = DifferenceSequence(0.05), Ends(-1, 1, 1)
    for one in units:
        sequence.update([one])
        now = ends(sequence)
        assert before.low <= now.low < now.high <= before.high
        assert now.p_value <= before.p_value
        before = now


@pytest.mark.parametrize("seed", range(5))
def test_zero_is_outside_when_the_p_value_is_at_most_alpha(seed: int) -> None:
    sequence = DifferenceSequence(0.05)
    for one in drawn(500, 0.3, 0.6, seed):
        sequence.update([one])
        assert (sequence.low > 0 or sequence.high < 0) == (sequence.p_value <= 0.05)
    assert sequence.low > 0


def test_at_one_share_the_estimate_is_the_difference_of_the_means() -> None:
    units = drawn(200, 0.3, 0.5)
    arm = [one.score for one in units if one.treated]
    control = [one.score for one in units if not one.treated]
    found = after(units)
    assert found.mean_treatment == pytest.approx(np.mean(arm))
    assert found.estimate == pytest.approx(np.mean(arm) - np.mean(control))


def test_a_ramp_while_everybody_gets_better_is_no_difference() -> None:
    """Nine in ten are controls while the score is 0, one in ten while it is 1."""
    early = [Observation(place == 0, 0.0, 0.1) for place in range(10)]
    late = [Observation(place > 0, 1.0, 0.9) for place in range(10)]
    found = after((early + late) * 5)
    assert found.estimate == pytest.approx(0)
    assert found.mean_control == pytest.approx(0.5)
    assert found.low < 0 < found.high


def test_arms_as_different_as_can_be() -> None:
    found = after([Observation(place % 2 == 0, float(place % 2 == 0)) for place in range(2000)])
    assert found.low > 0.95
    assert found.high == 1


def test_an_interval_narrower_than_the_grid_stays_an_interval() -> None:
    """Candidates near 0.2 are 0.005 apart; without any spread the bets rule all of them out."""
    found = after([Observation(True, 0.6), Observation(False, 0.4)] * 3_000)
    assert 0.19 < found.low < 0.2 < found.high < 0.21


def test_alpha_is_shared_by_the_arms() -> None:
    assert alpha_of_each(0.05, 1) == 0.05
    assert alpha_of_each(0.06, 3) == pytest.approx(0.02)
    with pytest.raises(ValueError, match="arms is 0"):
        alpha_of_each(0.05, 0)


@pytest.mark.parametrize("alpha", [0.0, 1.0, -0.1, math.nan])
def test_alpha_is_a_chance(alpha: float) -> None:
    with pytest.raises(ValueError, match="alpha is"):
        DifferenceSequence(alpha)
