"""How often comparisons err, in short; `tests.benchmarks.evaluation_statistics` says it in full."""

import numpy as np
import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar

from tests.benchmarks.evaluation_statistics import cover, coverage_cells, decide, scenarios
from tests.benchmarks.rival_rules import SidesOf, mlflow_improved, unpaired_improved


def _place(name: str, truth: bool) -> int:
    return next(
        i for i, one in enumerate(scenarios(100)) if one.name == name and bool(one.truth) == truth
    )


def test_equal_runs_are_hardly_ever_called_better_by_four_metrics() -> None:
    found = decide(100, _place("four metrics", truth=False), 60, (1, 0))
    assert found.better <= 0.05
    assert found.alarm <= 0.13  # metrics and slices have 5 % each
    assert found.mlflow_any > found.better  # no correction over scorers


def test_a_mean_of_zero_is_no_win_though_ranks_lean() -> None:
    found = decide(100, _place("F1, skewed", truth=False), 60, (1, 1))
    assert found.better <= 0.05


def test_a_difference_that_is_said_to_be_detectable_is_found() -> None:
    found = decide(100, _place("0 or 1, 20 % differ", truth=True), 100, (1, 2))
    assert 0.7 <= found.better <= 0.92
    assert found.unpaired < found.better


def test_score_intervals_hold_their_level_over_all_outcomes() -> None:
    cells = [c for c in coverage_cells() if c.share is not None and c.items == 100]
    for cell in cells:
        exact = cover(cell, 1, (0, 0)).exact
        assert exact is not None
        assert 0.935 <= exact <= 0.965


@pytest.mark.parametrize(("ahead", "behind"), [(14, 4), (17, 7), (18, 7), (40, 20)])
def test_mlflows_rule_is_exact_under_25_discordant_pairs(ahead: int, behind: int) -> None:
    level = 30
    ours = np.array([1.0] * ahead + [0.0] * behind + [1.0] * level)
    theirs = np.array([0.0] * ahead + [1.0] * behind + [1.0] * level)
    table = [[level, behind], [ahead, 0]]
    exact = ahead + behind < 25
    p_value = float(mcnemar(table, exact=exact, correction=True).pvalue)
    assert mlflow_improved(SidesOf(ours, theirs, True), p_value * 1.001)
    assert not mlflow_improved(SidesOf(ours, theirs, True), p_value * 0.999)
    assert not mlflow_improved(SidesOf(theirs, ours, True), 0.999)


def test_the_naive_rule_ignores_the_pairs() -> None:
    theirs = np.linspace(0.0, 49.0, 50)
    ours = theirs + 1 + np.resize([0.1, -0.1], 50)
    assert mlflow_improved(SidesOf(ours, theirs, False), 0.001)
    assert not unpaired_improved(SidesOf(ours, theirs, False), 0.05)
    p_value = float(stats.ttest_ind(ours, theirs).pvalue)
    assert unpaired_improved(SidesOf(ours, theirs, False), p_value * 1.001)
