"""The statistics, against values worked out by hand or by another way."""

import itertools
import math
import random
import warnings
from statistics import NormalDist, fmean

import numpy as np
import pytest
from scipy import stats

from tests.benchmarks.draws import COMMON
from training.gate.comparison import (
    compare,
    detectable_difference,
    one_sided_worse,
    paired,
    two_sided,
)
from training.gate.intervals import interval_of
from training.gate.metrics import METRICS


def _pairs(ahead: int, behind: int, level: int) -> list[float]:
    return [1.0] * ahead + [-1.0] * behind + [0.0] * level


@pytest.mark.parametrize(
    ("ahead", "behind", "expected"),
    [
        (6, 0, 2 * 0.5**6),
        (9, 1, 2 * (1 + 10) * 0.5**10),
        (1, 9, 2 * (1 + 10) * 0.5**10),
        (5, 5, 1.0),
    ],
)
def test_mcnemar_is_the_binomial_test_of_the_discordant_pairs(
    ahead: int, behind: int, expected: float
) -> None:
    p_value, _ = two_sided(_pairs(ahead, behind, 40), binary=True)
    assert p_value == pytest.approx(expected, rel=1e-12)


def test_mcnemar_of_the_textbook() -> None:
    """Agresti's approval ratings (Categorical Data Analysis, table 10.1): 150 and 86 discordant."""
    p_value, direction = two_sided(_pairs(86, 150, 1364), binary=True)
    by_hand = 2 * sum(math.comb(236, k) for k in range(87)) / 2**236
    assert p_value == pytest.approx(by_hand, rel=1e-9)
    assert p_value == pytest.approx(3.7e-5, rel=0.03)
    assert direction == "worse"


def test_wilcoxon_is_the_share_of_all_signs_that_are_as_extreme() -> None:
    differences = [1.1, 2.3, -0.4, 3.7, 5.2, -1.6, 4.9, 2.8]
    ranks = {size: rank for rank, size in enumerate(sorted(map(abs, differences)), start=1)}
    seen = sum(ranks[d] for d in differences if d > 0)
    total = sum(ranks.values())
    sums = [
        sum(rank for rank, sign in zip(ranks.values(), signs, strict=True) if sign)
        for signs in itertools.product((False, True), repeat=len(ranks))
    ]
    extreme = max(seen, total - seen)
    expected = 2 * sum(one >= extreme for one in sums) / len(sums)
    p_value, direction = two_sided(differences, binary=False)
    assert p_value == pytest.approx(expected, rel=1e-12)
    assert direction == "better"


def test_the_one_sided_test_looks_at_losses_only() -> None:
    assert one_sided_worse(_pairs(1, 9, 5), binary=True) == pytest.approx(11 * 0.5**10)
    assert one_sided_worse(_pairs(9, 1, 5), binary=True) > 0.99
    assert one_sided_worse([-1.0, -2.0, -3.0, -4.0, -5.0], binary=False) == pytest.approx(0.5**5)


def test_no_difference_at_all_has_a_p_value_of_one() -> None:
    assert two_sided([0.0] * 9, binary=False) == (1.0, "level")
    assert two_sided([0.0] * 9, binary=True) == (1.0, "level")
    assert one_sided_worse([0.0] * 9, binary=False) == 1.0


def _bca_by_hand(values: list[float], alpha: float, draws: int) -> tuple[float, float]:
    """Efron and Tibshirani, An Introduction to the Bootstrap (1993), chapter 14.3."""
    normal, chance, count = NormalDist(), random.Random(5), len(values)
    means = sorted(fmean(chance.choices(values, k=count)) for _ in range(draws))
    middle = fmean(values)
    below = sum(mean < middle for mean in means) + 0.5 * sum(mean == middle for mean in means)
    shift = normal.inv_cdf(below / draws)
    left_out = [(sum(values) - value) / (count - 1) for value in values]
    apart = [fmean(left_out) - one for one in left_out]
    skew = sum(a**3 for a in apart) / (6 * sum(a**2 for a in apart) ** 1.5)

    def end(share: float) -> float:
        z = shift + normal.inv_cdf(share)
        return means[int(normal.cdf(shift + z / (1 - skew * z)) * draws)]

    return end(alpha / 2), end(1 - alpha / 2)


def test_the_interval_is_bias_corrected_and_accelerated() -> None:
    chance = random.Random(1)
    values = [chance.expovariate(1.0) - 0.5 for _ in range(40)]
    interval = interval_of(values, alpha=0.05, resamples=20_000, seed=0)
    assert interval is not None
    assert interval.method == "BCa"
    low, high = _bca_by_hand(values, 0.05, 20_000)
    assert interval.low == pytest.approx(low, abs=0.02)
    assert interval.high == pytest.approx(high, abs=0.02)
    plain = sorted(fmean(chance.choices(values, k=40)) for _ in range(20_000))
    assert interval.high > plain[19_500] + 0.02  # the skew is taken into account


def test_the_interval_is_the_same_for_the_same_seed() -> None:
    values = [0.1, 0.5, -0.2, 0.9, 0.3]
    one = interval_of(values, alpha=0.05, resamples=500, seed=3)
    assert one == interval_of(values, alpha=0.05, resamples=500, seed=3)
    assert one != interval_of(values, alpha=0.05, resamples=500, seed=4)


def test_degenerate_differences_have_an_interval_that_says_so() -> None:
    interval = interval_of([0.25] * 12, alpha=0.05, resamples=500, seed=0)
    assert interval is not None
    assert (interval.low, interval.high, interval.method) == (0.25, 0.25, "degenerate")
    assert interval_of([0.25], alpha=0.05, resamples=500, seed=0) is None


@pytest.mark.parametrize("count", [2, 3, 20, 500])
def test_one_odd_item_has_a_finite_interval_without_a_warning(count: int) -> None:
    with warnings.catch_warnings():
        warnings.simplefilter("error")
        interval = interval_of([1.0] + [0.0] * (count - 1), alpha=0.05, resamples=999, seed=0)
    assert interval is not None
    assert 0 <= interval.low <= 1 / count <= interval.high <= 1


def test_rounding_is_no_difference() -> None:
    found = compare(
        [0.1 + 0.2] * 8, [0.3] * 8, METRICS["token_f1"], alpha=0.05, resamples=200, seed=0
    )
    assert (found.p_value, found.candidate_ahead, found.difference) == (1.0, 0, 0.0)


def test_noise_that_leans_one_way_is_no_win() -> None:
    """Served log-probabilities of equal weights differ by some 1e-5, and not always at random."""
    ours, theirs = [-2.0 + 4e-5] * 40, [-2.0] * 40
    found = compare(ours, theirs, METRICS["log_likelihood"], alpha=0.05, resamples=200, seed=0)
    assert (found.p_value, found.difference, found.direction) == (1.0, 0.0, "level")


def test_a_comparison_holds_means_counts_and_the_direction() -> None:
    ours, theirs = [1.0] * 30 + [0.0] * 10, [1.0] * 10 + [0.0] * 30
    found = compare(ours, theirs, METRICS["exact_match"], alpha=0.05, resamples=200, seed=0)
    assert (found.candidate, found.champion, found.difference) == (0.75, 0.25, 0.5)
    assert (found.candidate_ahead, found.champion_ahead) == (20, 0)
    assert (found.test, found.direction) == ("McNemar, exact", "better")
    assert found.p_value == pytest.approx(2 * 0.5**20)


def test_what_can_be_seen_is_seen_in_four_of_five_runs() -> None:
    """The stated difference, simulated: McNemar's test rejects in about 0.8 of the runs."""
    differences = _pairs(30, 30, 240)
    size = detectable_difference(differences, binary=True, alpha=0.05)
    assert size is not None
    assert 0.06 < size < 0.09
    chance, won, share = random.Random(2), 0, 60 / 300
    for _ in range(400):
        moved = [chance.random() < share for _ in range(300)]
        up = (share + size) / 2 / share
        drawn = [(1.0 if chance.random() < up else -1.0) if one else 0.0 for one in moved]
        won += two_sided(drawn, binary=True)[0] < 0.05
    assert 0.7 < won / 400 < 0.87


def test_of_a_continuous_score_too() -> None:
    chance = random.Random(3)
    size = detectable_difference([chance.gauss(0, 1) for _ in range(100)], False, 0.05)
    assert size is not None
    won = sum(
        two_sided([chance.gauss(size, 1) for _ in range(100)], binary=False)[0] < 0.05
        for _ in range(400)
    )
    assert 0.7 < won / 400 < 0.9


@pytest.mark.parametrize("place", range(len(COMMON)))
def test_whatever_the_shape_of_the_differences(place: int) -> None:
    """Levels, stars and skew: the stated mean is shown by the test and by Student's together."""
    draw, chance = COMMON[place].draw, np.random.default_rng(7)
    size = 0.0
    for _ in range(4):  # the statement is made on items that differ by what it states
        stated = [
            detectable_difference(draw(chance, 200, size).tolist(), False, 0.05) for _ in range(20)
        ]
        size = fmean(found for found in stated if found is not None)
    found = [
        paired(draw(chance, 200, size).tolist(), False, alpha=0.05, resamples=100, seed=0)
        for _ in range(200)
    ]
    shown = [max(one.p_value, one.mean_p_value or 0) < 0.05 for one in found]
    assert 0.72 <= fmean(shown) <= 0.9


def test_the_mean_has_a_test_of_its_own() -> None:
    differences = [0.3, -0.1, 0.25, 0.4, -0.05, 0.6]
    found = paired(differences, False, alpha=0.05, resamples=100, seed=0)
    assert found.mean_p_value == pytest.approx(stats.ttest_1samp(differences, 0).pvalue)
    matches = paired(_pairs(7, 1, 9), True, alpha=0.05, resamples=100, seed=0)
    assert matches.mean_p_value == matches.p_value
    level = paired([0.2] * 6, False, alpha=0.05, resamples=100, seed=0)
    assert level.mean_p_value == level.p_value


def test_a_few_items_that_differ_show_little_and_none_show_nothing() -> None:
    assert detectable_difference([0.1, 0.2, -0.1, 0.3], False, 0.05) is None
    assert detectable_difference([0.0] * 30, False, 0.05) == 0.0
    assert detectable_difference([0.1], False, 0.05) is None


def test_five_items_cannot_show_anything() -> None:
    assert detectable_difference(_pairs(3, 0, 2), binary=True, alpha=0.05) is None
    found = compare([1.0] * 5, [0.0] * 5, METRICS["exact_match"], alpha=0.05, resamples=99, seed=0)
    assert "more items are needed" in found.power


def test_nothing_and_unequal_numbers_are_refused() -> None:
    none: list[float] = []
    for ours, theirs in ((none, none), ([1.0], none)):
        with pytest.raises(ValueError, match=r"nothing|shorter"):
            compare(ours, theirs, METRICS["exact_match"], alpha=0.05, resamples=99, seed=0)
