"""Intervals against published values, other libraries and an independent likelihood."""

import math
import random
from statistics import NormalDist, fmean, stdev

import numpy as np
import pytest
from scipy import optimize, stats
from statsmodels.stats.proportion import proportion_confint

from training.gate.comparison import compare
from training.gate.intervals import (
    difference_interval,
    interval_of,
    mean_interval,
    score_interval,
    share_interval,
)
from training.gate.metrics import METRICS


def test_tango_of_the_literature() -> None:
    """Bentur's airways (1 against 7 of 21), in Fagerland, Lydersen and Laake (2014), table 4."""
    found = score_interval(1, 7, 21, alpha=0.05)
    assert [found.low, found.high] == pytest.approx([-0.517, -0.026], abs=5e-4)
    assert found.method == "Tango"


@pytest.mark.parametrize(
    ("ahead", "behind", "items"), [(12, 2, 50), (0, 5, 40), (3, 3, 25), (9, 0, 9)]
)
def test_at_its_ends_the_score_test_just_rejects(ahead: int, behind: int, items: int) -> None:
    """The nuisance share is found here by maximising the likelihood, not by Tango's formula."""
    found = score_interval(ahead, behind, items, alpha=0.05)
    for end in (found.low, found.high):
        if abs(end) > 1 - 1e-6:
            continue

        def unlikely(share: float, difference: float = end) -> float:
            chances = (share + difference, share, 1 - 2 * share - difference)
            counts = (ahead, behind, items - ahead - behind)
            return -sum(
                n * math.log(max(p, 1e-300)) for n, p in zip(counts, chances, strict=True) if n
            )

        low, high = max(0.0, -end), (1 - end) / 2
        share = optimize.minimize_scalar(
            unlikely, bounds=(low, high), method="bounded", options={"xatol": 1e-12}
        ).x
        spread = math.sqrt(items * (2 * share + end - end**2))
        apart = (ahead - behind - items * end) / spread
        assert abs(apart) == pytest.approx(NormalDist().inv_cdf(0.975), rel=1e-3)


def test_tango_turns_with_the_sides_and_holds_zero_as_mcnemar_does() -> None:
    for ahead in range(12):
        for behind in range(12):
            one, other = (
                score_interval(*pair, 30, alpha=0.05) for pair in ((ahead, behind), (behind, ahead))
            )
            assert one.low == pytest.approx(-other.high, abs=1e-9)
            if ahead + behind:
                chi2 = (ahead - behind) ** 2 / (ahead + behind)
                assert (one.low <= 0 <= one.high) == (chi2 <= stats.chi2.ppf(0.95, 1))


def test_no_discordant_pair_leaves_an_interval_that_shrinks_with_the_items() -> None:
    widths = []
    for items in (20, 200):
        found = difference_interval([0.0] * items, True, alpha=0.05, resamples=100, seed=0)
        assert found is not None
        assert found.low < 0 < found.high
        widths.append(found.high - found.low)
    assert widths[0] > 5 * widths[1]


def test_wilson_is_statsmodels() -> None:
    for passed, items in ((0, 7), (3, 10), (190, 200)):
        found = share_interval(passed, items, alpha=0.1)
        low, high = proportion_confint(passed, items, alpha=0.1, method="wilson")
        assert found is not None
        assert [found.low, found.high] == pytest.approx([low, high])
    assert share_interval(0, 0, alpha=0.05) is None


def test_a_mean_takes_what_either_interval_holds() -> None:
    chance = random.Random(0)
    skewed = [chance.lognormvariate(0, 1) for _ in range(40)]
    bca = interval_of(skewed, alpha=0.05, resamples=2000, seed=1)
    found = mean_interval(skewed, alpha=0.05, resamples=2000, seed=1)
    assert bca is not None
    assert found is not None
    student = stats.t.interval(0.95, 39, fmean(skewed), stdev(skewed) / math.sqrt(40))
    assert found.low == pytest.approx(min(bca.low, student[0]))
    assert found.high == pytest.approx(max(bca.high, student[1]))
    assert found.high == bca.high  # the skew is BCa's to see
    assert found.method == "BCa + t"


def test_constant_and_single_values() -> None:
    constant = mean_interval([0.5] * 9, alpha=0.05, resamples=100, seed=0)
    assert constant is not None
    assert constant.method == "degenerate"
    assert mean_interval([0.5], alpha=0.05, resamples=100, seed=0) is None
    assert difference_interval([1.0], True, alpha=0.05, resamples=100, seed=0) is None


def test_tango_covers_where_the_bootstrap_does_not() -> None:
    """Fifty items of which a tenth differ: all outcomes for Tango, 300 draws for BCa."""
    chance, held = np.random.default_rng(3), 0
    for number in range(300):
        values = chance.choice([1.0, -1.0, 0.0], 50, p=[0.05, 0.05, 0.9]).tolist()
        found = interval_of(values, alpha=0.05, resamples=300, seed=number)
        held += found is not None and found.low <= 0 <= found.high
    assert held / 300 < 0.935
    exact = 0.0
    for ahead in range(25):
        for behind in range(25):
            interval = score_interval(ahead, behind, 50, alpha=0.05)
            if interval.low <= 0 <= interval.high:
                counts = [ahead, behind, 50 - ahead - behind]
                exact += float(stats.multinomial.pmf(counts, 50, [0.05, 0.05, 0.9]))
    assert 0.935 <= exact <= 0.965


def test_the_gate_compares_matches_by_a_score_interval() -> None:
    found = compare(
        [1.0] * 20, [0.0] * 4 + [1.0] * 16, METRICS["exact_match"], alpha=0.05, resamples=99, seed=0
    )
    assert found.interval == score_interval(4, 0, 20, alpha=0.05)
