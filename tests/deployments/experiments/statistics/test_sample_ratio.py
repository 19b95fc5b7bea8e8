"""The sample ratio: by hand, against scipy, fair on average, and over a ramp."""

import itertools
import math

import numpy as np
import pytest
from scipy import stats

from deployments.experiments.statistics import Phase, check_ratio

CONCENTRATIONS = (100, 1000, 10_000)
HALVES = {"a": 1, "b": 1}


def test_one_unit_says_nothing_and_two_alike_say_little() -> None:
    assert check_ratio([Phase({"a": 1}, HALVES)]).e_value == pytest.approx(1)
    by_hand = np.mean([(c / 2) * (c / 2 + 1) / (c * (c + 1)) / 0.25 for c in CONCENTRATIONS])
    found = check_ratio([Phase({"a": 2, "b": 0}, HALVES)])
    assert found.e_value == pytest.approx(by_hand)
    assert found.p_value == pytest.approx(1 / by_hand)


def test_it_is_the_ratio_of_two_likelihoods_of_scipy() -> None:
    counts, shares = np.array([520, 90, 60]), np.array([0.8, 0.1, 0.1])
    below = stats.multinomial.logpmf(counts, counts.sum(), shares)
    ratios = [
        math.exp(stats.dirichlet_multinomial.logpmf(counts, c * shares, counts.sum()) - below)
        for c in CONCENTRATIONS
    ]
    phase = Phase(dict(zip("abc", counts.tolist(), strict=True)), {"a": 8, "b": 1, "c": 1})
    assert check_ratio([phase]).e_value == pytest.approx(np.mean(ratios))


def test_it_is_one_on_average_if_the_shares_are_right_in_every_phase() -> None:
    """Summed over all counts that can come of five units at 30 % and four at 60 %."""
    total = 0.0
    for first, second in itertools.product(range(6), range(5)):
        weight = stats.binom.pmf(first, 5, 0.3) * stats.binom.pmf(second, 4, 0.6)
        phases = [
            Phase({"a": first, "b": 5 - first}, {"a": 3, "b": 7}),
            Phase({"a": second, "b": 4 - second}, {"a": 6, "b": 4}),
        ]
        total += weight * check_ratio(phases).e_value
    assert total == pytest.approx(1)


def test_a_ramp_is_judged_step_by_step() -> None:
    """450 to 550 of a thousand would be an alarm at one share; each step is as it was meant."""
    ramp = [Phase({"a": 900, "b": 100}, {"a": 9, "b": 1}), Phase({"a": 500, "b": 500}, HALVES)]
    found = check_ratio(ramp)
    assert not found.alarm
    assert found.counts == {"a": 1400, "b": 600}
    assert found.expected == pytest.approx({"a": 1400, "b": 600})
    assert check_ratio([Phase({"a": 1400, "b": 600}, HALVES)]).alarm


def test_an_arm_that_loses_units_raises_the_alarm() -> None:
    found = check_ratio([Phase({"a": 2200, "b": 1800}, HALVES)])
    assert found.alarm
    assert found.p_value < 0.001
    assert found.p_value == pytest.approx(1 / found.e_value)
    assert not check_ratio([Phase({"a": 2200, "b": 1800}, HALVES)], alarm_below=1e-9).alarm


def test_an_arm_that_gets_nothing_counts_as_none() -> None:
    found = check_ratio([Phase({"a": 2000}, HALVES)])
    assert found.alarm
    assert found.counts == {"a": 2000, "b": 0}
    assert math.isfinite(found.e_value)


def test_without_units_there_is_no_alarm() -> None:
    found = check_ratio([])
    assert (found.e_value, found.p_value, found.alarm) == (1, 1, False)


@pytest.mark.parametrize(
    ("counts", "shares", "told"),
    [
        ({"a": 1}, {"a": 0, "b": 1}, "share of 'a' is 0"),
        ({"a": -1}, HALVES, "count of 'a' is -1"),
        ({"c": 3}, HALVES, "3 units of 'c'"),
    ],
)
def test_counts_that_cannot_be_are_refused(
    counts: dict[str, int], shares: dict[str, float], told: str
) -> None:
    with pytest.raises(ValueError, match=told):
        check_ratio([Phase(counts, shares)])


def test_the_level_of_the_alarm_is_a_chance() -> None:
    with pytest.raises(ValueError, match="alarm_below is 1"):
        check_ratio([], alarm_below=1)
