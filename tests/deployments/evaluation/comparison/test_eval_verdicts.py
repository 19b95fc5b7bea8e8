"""The rules of «better», by table."""

import pytest

from deployments.evaluation.comparison.effects import effects_of
from deployments.evaluation.comparison.verdict import (
    Finding,
    Outcome,
    SliceOutcome,
    judge,
    judge_whole,
)


@pytest.mark.parametrize(
    ("found", "least", "expected"),
    [
        (Finding(0.01, 0.001, "better", 0.1, 0.02, 0.2), 0.0, "better"),
        (Finding(0.01, 0.001, "worse", -0.1, -0.2, -0.02), 0.0, "worse"),
        (Finding(0.05, 0.001, "better", 0.1, 0.02, 0.2), 0.0, "no difference shown"),
        (Finding(0.01, 0.001, "better", 0.1, -0.01, 0.2), 0.0, "no difference shown"),
        (Finding(0.01, 0.001, "worse", -0.1, -0.2, 0.0), 0.0, "no difference shown"),
        (Finding(0.01, 0.05, "better", 0.1, 0.02, 0.2), 0.0, "no difference shown"),
        (Finding(0.01, 0.001, "worse", 0.1, 0.02, 0.2), 0.0, "mixed"),
        (Finding(0.01, 0.001, "better", -0.1, -0.2, 0.1), 0.0, "mixed"),
        (Finding(0.01, 0.001, "better", 0.01, 0.005, 0.02), 0.02, "no difference shown"),
        (Finding(0.01, 0.001, "worse", -0.01, -0.02, -0.005), 0.02, "no difference shown"),
        (Finding(0.01, 0.001, "better", 0.02, 0.005, 0.04), 0.02, "better"),
        (Finding(0.001, 0.001, "level", 0.0, 0.0, 0.0), 0.0, "no difference shown"),
    ],
)
def test_a_metric(found: Finding, least: float, expected: Outcome) -> None:
    assert judge(found, alpha=0.05, min_difference=least)[0] == expected


NO: Outcome = "no difference shown"


@pytest.mark.parametrize(
    ("metrics", "slices", "expected"),
    [
        ([NO, NO], [], NO),
        ([NO, "better"], [], "better"),
        ([NO, "worse"], [], "worse"),
        (["better", "worse"], [], "mixed"),
        (["better", "mixed"], [], "mixed"),
        (["better"], ["better", "too small", NO], "better"),
        (["better"], ["worse"], "mixed"),
        (["worse"], ["worse", "better"], "worse"),
        ([NO], ["worse"], "mixed"),
        ([NO], ["better"], NO),
    ],
)
def test_the_whole(metrics: list[Outcome], slices: list[SliceOutcome], expected: Outcome) -> None:
    found = judge_whole(
        [(f"m{i}", outcome) for i, outcome in enumerate(metrics)],
        [("m0", f"s{i}", outcome) for i, outcome in enumerate(slices)],
    )
    assert found.outcome == expected
    assert found.reasons


def test_effects_that_are_undefined_are_null() -> None:
    g, ratio = effects_of([1.0, 1.0, 0.0], True)
    assert (g.value, g.size, ratio.value) == (0.5, "large", None)
    assert [e.value for e in effects_of([0.0, 0.0], True)] == [None, None]
    assert [e.value for e in effects_of([0.0, 0.0], False)] == [None, None]
    biserial, standardised = effects_of([0.2, 0.2, 0.2], False)
    assert (biserial.value, standardised.value) == (1.0, None)


@pytest.mark.parametrize(
    ("gains", "size"),
    [
        ([1.0, -1.0], "none"),
        ([1.1, -0.9, 1.0, -1.0], "negligible"),
        ([1.3, -0.7], "small"),
        ([3.0, 1.0], "large"),
    ],
)
def test_cohens_words(gains: list[float], size: str) -> None:
    assert effects_of(gains, False)[1].size == size
