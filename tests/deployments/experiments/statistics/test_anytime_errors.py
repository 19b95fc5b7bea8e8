"""How often experiments err, in short; `tests.benchmarks.anytime_statistics` says it in full."""

import numpy as np
import pytest
from scipy import stats

from deployments.experiments.statistics import units_to_decision
from tests.benchmarks.anytime_guards import GUARDS, RATIOS, requests_to_stop, units_to_alarm
from tests.benchmarks.anytime_statistics import ALPHA, count_errors, fixed_units, measure_samples
from tests.benchmarks.experiment_streams import EFFECTS, NULLS
from tests.benchmarks.peeking_rules import looks, mixture_sprt, t_test


@pytest.mark.parametrize("place", range(len(NULLS)), ids=lambda place: NULLS[place].name)
def test_winners_are_rare_where_nothing_differs(place: int) -> None:
    errors = count_errors(NULLS[place], 15, 200, (1, place))
    assert errors.excluded <= 3  # 1 is expected at most; 4 come once in 180 at 5 %
    assert errors.winner <= errors.excluded


def test_a_test_planned_for_one_look_does_not_bear_many() -> None:
    errors = count_errors(NULLS[2], 40, 400, (2, 0))
    assert errors.excluded <= 5
    assert errors.t_excluded >= 8


def test_a_difference_is_found_in_about_the_units_that_were_planned() -> None:
    case = EFFECTS[3]
    samples = measure_samples(case, 60, (3, 0))
    planned = units_to_decision(case.effect, case.deviation, alpha=ALPHA)
    assert samples.wrong == 0
    assert samples.held >= 0.9
    assert samples.mean == pytest.approx(planned, rel=0.25)
    assert samples.mean < 2 * fixed_units(case)


def test_the_units_of_a_planned_test_are_those_of_the_textbook() -> None:
    case = EFFECTS[0]
    needed = 2 * (stats.norm.ppf(0.975) + stats.norm.ppf(0.8)) ** 2 * case.deviation**2
    assert fixed_units(case) == pytest.approx(2 * needed / case.effect**2, rel=0.01)


def test_the_rules_beside_it_are_what_they_are_called() -> None:
    chance = np.random.default_rng(0)
    treated, scores = chance.random(500) < 0.4, chance.random(500)
    scores = scores + 0.06 * treated
    found = looks(treated, scores)
    test = stats.ttest_ind(scores[treated], scores[~treated], equal_var=False)
    assert found.difference[-1] / found.error[-1] == pytest.approx(test.statistic)
    assert t_test(found, test.pvalue * 1.0001)[-1]
    assert not t_test(found, test.pvalue * 0.9999)[-1]
    assert np.isnan(found.error[:20]).all()
    d, error = found.difference[-1], found.error[-1]
    ratio = stats.norm.pdf(d, 0, np.hypot(error, 0.1)) / stats.norm.pdf(d, 0, error)
    assert mixture_sprt(found, 1.0001 / ratio)[-1]
    assert not mixture_sprt(found, 0.9999 / ratio)[-1]


def test_the_sample_ratio_is_found_and_hardly_ever_without_reason() -> None:
    found = {one.name: units_to_alarm(one, 3, (4, 0)) for one in (RATIOS[0], RATIOS[4])}
    assert found["50/50"] == [None] * 3
    assert all(at is not None and at < 1500 for at in found["50/50 turned 60/40"])


@pytest.mark.parametrize("place", [i for i, one in enumerate(GUARDS) if not one.right])
def test_broken_arms_are_stopped_within_50_requests(place: int) -> None:
    found = requests_to_stop(GUARDS[place], 10, (5, place))
    assert sum(at is not None and 0 < at <= 50 for at in found) >= 9
