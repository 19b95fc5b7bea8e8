"""Bets: fair where the candidate is right, convex over candidates, exact after many."""

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from deployments.experiments.statistics.wealth import NULL, Wealth, candidates


def test_candidates_rise_from_near_minus_one_to_near_one_through_zero() -> None:
    found = candidates()
    assert (np.diff(found) > 0).all()
    assert 0.0 in found
    assert found == pytest.approx(-found[::-1])
    assert -1 < found[0] < -0.95
    assert np.diff(found).min() == pytest.approx(0.001)


@given(st.floats(-5, -1.01), st.floats(1.01, 5))
def test_a_bet_against_the_mean_gains_nothing_on_average(least: float, most: float) -> None:
    """The value is `most` with a chance that makes the candidate its mean, else `least`."""
    grown = np.exp([Wealth(candidates()).bet(value, least, most) for value in (least, most)])
    chance = (Wealth(candidates()).values - least) / (most - least)
    assert (1 - chance) * grown[0] + chance * grown[1] == pytest.approx(np.ones(len(chance)))


def test_a_bet_by_hand() -> None:
    """Of one bettor on each side with the stake f, (1 + f·gain)/2 is left of a purse of 1."""
    wealth = Wealth(np.array([0.5]))
    found = np.exp(wealth.bet(1.0, -2.0, 2.0))
    stake = np.mean([0.9 * 1.7**-step for step in range(10)])
    assert found[NULL] == pytest.approx(1.0)  # up 1 of 2 on one side, down 1 of 2 on the other
    assert found[1] == pytest.approx(1 + stake * (0.5 / 2.5 - 0.5 / 1.5) / 2)


def test_the_logarithm_is_convex_and_survives_thousands_of_bets() -> None:
    chance = np.random.default_rng(0)
    values = np.where(chance.random(4000) < 0.8, 1.0, -1.0)
    wealth = Wealth(candidates())
    found = [wealth.bet(value, -1.5, 1.5) for value in values][-1]
    rows = wealth.values[:, None, None]
    stakes = np.array([0.9 * 1.7**-step for step in range(10)])
    logs = np.zeros((len(rows), 2, len(stakes)))
    for value in (1.0, -1.0):
        gains = np.concatenate(
            [(value - rows) / (rows + 1.5), (rows - value) / (1.5 - rows)], axis=1
        )
        logs += (values == value).sum() * np.log1p(gains * stakes)
    direct = np.logaddexp.reduce(logs.reshape(len(rows), -1), axis=1) - np.log(2 * len(stakes))
    assert found == pytest.approx(direct)
    assert found.max() > 1000  # far beyond what a float holds without its logarithm
    slopes = np.diff(found[1:]) / np.diff(wealth.values[1:])
    assert (np.diff(slopes) > -1e-6).all()


def test_what_is_kept_goes_on_as_it_was() -> None:
    whole, part = Wealth(candidates()), Wealth(candidates())
    for value in (0.5, -0.3, 0.9):
        whole.bet(value, -1.5, 1.5)
        part.bet(value, -1.5, 1.5)
    part.keep(100, 120)
    rows = [NULL, *range(100, 121)]
    assert part.values == pytest.approx(whole.values[rows])
    assert part.bet(0.2, -1.5, 1.5) == pytest.approx(whole.bet(0.2, -1.5, 1.5)[rows])
