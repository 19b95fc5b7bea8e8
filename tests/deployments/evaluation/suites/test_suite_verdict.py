"""What passes and what fails: thresholds, --fail-under, regressions."""

from typing import Any

import pytest

from deployments.evaluation.suites.errors import SuiteError
from deployments.evaluation.suites.kinds import GraderKind, kind_of
from deployments.evaluation.suites.regressions import check_regressions
from deployments.evaluation.suites.results import (
    Figures,
    Graded,
    ItemResult,
    figures_of,
    item_result,
)
from deployments.evaluation.suites.suite import Thresholds
from deployments.evaluation.suites.verdict import (
    FailUnder,
    Verdict,
    check_figures,
    parse_fail_under,
    rules_of,
)

RIGHT = GraderKind("right", judges=True)
NEAR = GraderKind("near", judges=False)


def figures(grader: str, *, passed: int = 0, judged: int = 0, mean: float | None = None) -> Figures:
    scored = judged or (0 if mean is None else 10)
    return Figures(grader, scored, 0, mean, judged, passed)


@pytest.mark.parametrize(
    ("given", "rate", "means"),
    [
        ([], None, {}),
        (["0.9"], 0.9, {}),
        (["1"], 1.0, {}),
        (["near=0.5", "0.8"], 0.8, {"near": 0.5}),
        (["a=b=0.5"], None, {"a=b": 0.5}),
        (["near=-2"], None, {"near": -2.0}),
    ],
)
def test_fail_under_is_read(given: list[str], rate: float | None, means: dict[str, float]) -> None:
    assert parse_fail_under(given) == FailUnder(rate, means)


@pytest.mark.parametrize("given", [["90%"], ["1.5"], ["-0.1"], ["near="], ["nan"], ["0.5", "0.6"]])
def test_fail_under_refuses_what_is_no_share(given: list[str]) -> None:
    with pytest.raises(SuiteError):
        parse_fail_under(given)


@pytest.mark.parametrize(
    ("passed", "judged", "wanted", "kept", "spare"),
    [
        (9, 10, 0.9, True, 0),
        (27, 30, 0.9, True, 0),
        (89, 100, 0.9, False, 1),
        (10, 10, 0.9, True, 1),
        (0, 10, 0.0, True, 0),
        (2, 3, 2 / 3, True, 0),
        (7, 10, 0.7, True, 0),
        (99, 100, 1.0, False, 1),
    ],
)
def test_a_pass_rate_is_decided_by_whole_items(
    passed: int, judged: int, wanted: float, kept: bool, spare: int
) -> None:
    rules = {"right": Thresholds(min_pass_rate=wanted)}
    found = figures("right", passed=passed, judged=judged, mean=passed / judged)
    check = check_figures(rules, [found], errors=0, items=judged)[1]
    assert (check.passed, check.spare) == (kept, spare)


@pytest.mark.parametrize(
    ("rule", "mean", "kept"),
    [
        (Thresholds(min_mean=0.5), 0.5, True),
        (Thresholds(min_mean=0.5), 0.4999, False),
        (Thresholds(min_mean=0.3), 0.1 + 0.2, True),
        (Thresholds(max_mean=2), 2.0, True),
        (Thresholds(max_mean=2), 2.1, False),
        (Thresholds(min_mean=0), None, False),
    ],
)
def test_means_are_held_to_their_bounds(rule: Thresholds, mean: float | None, kept: bool) -> None:
    checks = check_figures({"near": rule}, [figures("near", mean=mean)], errors=0, items=10)
    assert [check.passed for check in checks] == [True, kept]


def test_an_item_in_error_fails_the_run_whatever_the_rest() -> None:
    checks = check_figures({}, [figures("right", passed=9, judged=9, mean=1)], errors=1, items=10)
    assert not Verdict(tuple(checks)).passed
    assert "9 of 10 items" in checks[0].reason


def test_a_grader_that_scores_nothing_does_not_pass() -> None:
    rules = {"right": Thresholds(min_pass_rate=0.0)}
    assert not check_figures(rules, [figures("right")], errors=0, items=3)[1].passed


def test_a_plain_number_holds_for_each_pass_or_fail_grader_and_no_other() -> None:
    given = {"right": Thresholds(min_pass_rate=0.2, min_mean=0.1), "near": Thresholds(max_mean=5)}
    rules = rules_of(given, [RIGHT, NEAR], parse_fail_under(["0.9"]), baseline=False)
    assert rules["right"] == Thresholds(min_pass_rate=0.9, min_mean=0.1)
    assert rules["near"] == Thresholds(max_mean=5)


def test_a_named_number_is_the_least_mean_of_its_grader() -> None:
    rules = rules_of({}, [RIGHT, NEAR], parse_fail_under(["near=0.4"]), baseline=False)
    assert rules == {"near": Thresholds(min_mean=0.4)}


@pytest.mark.parametrize(
    ("thresholds", "kinds", "given", "said"),
    [
        ({}, [RIGHT], ["left=1"], "'left', which is no grader"),
        ({}, [NEAR], ["0.9"], "no grader of the suite passes or fails"),
        ({"near": Thresholds(min_pass_rate=1)}, [NEAR], [], "does not pass or fail items"),
        ({"near": Thresholds(max_regression=0)}, [NEAR], [], "needs a run to compare with"),
    ],
)
def test_a_rule_that_fits_no_grader_is_refused(
    thresholds: dict[str, Thresholds], kinds: list[GraderKind], given: list[str], said: str
) -> None:
    with pytest.raises(SuiteError, match=said):
        rules_of(thresholds, kinds, parse_fail_under(given), baseline=False)


def test_with_a_baseline_every_grader_may_not_get_worse_unless_the_suite_says_which() -> None:
    both = rules_of({}, [RIGHT, NEAR], FailUnder(), baseline=True)
    assert {name: rule.max_regression for name, rule in both.items()} == {"right": 0, "near": 0}
    chosen = {"near": Thresholds(max_regression=0.1)}
    assert rules_of(chosen, [RIGHT, NEAR], FailUnder(), baseline=True) == chosen


def compared(name: str, verdict: str, difference: float, *, higher: bool = True) -> dict[str, Any]:
    return {
        "grader": name,
        "verdict": verdict,
        "difference": difference,
        "higher_is_better": higher,
        "reason": f"{name}: {verdict}.",
    }


@pytest.mark.parametrize(
    ("found", "bound", "kept"),
    [
        (compared("g", "no difference shown", 0.0), 0.0, True),
        (compared("g", "no difference shown", -0.2), 0.0, True),
        (compared("g", "better", 0.4), 0.0, True),
        (compared("g", "mixed", 0.1), 0.0, True),
        (compared("g", "worse", -0.2), 0.0, False),
        (compared("g", "worse", -0.2), 0.2, True),
        (compared("g", "worse", -0.21), 0.2, False),
        (compared("g", "worse", 0.3, higher=False), 0.0, False),
        (compared("g", "better", -0.3, higher=False), 0.0, True),
    ],
)
def test_a_regression_needs_the_paired_test_and_more_than_the_bound(
    found: dict[str, Any], bound: float, kept: bool
) -> None:
    rules = {"g": Thresholds(max_regression=bound), "other": Thresholds(min_mean=0)}
    (check,) = check_regressions(rules, {"metrics": [found], "left_out": []})
    assert check.passed is kept
    assert check.reason.startswith(found["reason"])


@pytest.mark.parametrize(
    ("left_out", "said"),
    [
        ([{"grader": "g", "reason": "Its scores are none."}], "Its scores are none."),
        ([], "the baseline has no such grader"),
    ],
)
def test_a_grader_that_was_not_compared_fails(left_out: list[dict[str, str]], said: str) -> None:
    rules = {"g": Thresholds(max_regression=0)}
    (check,) = check_regressions(rules, {"metrics": [], "left_out": left_out})
    assert not check.passed
    assert said in check.reason


def test_figures_leave_out_what_does_not_apply_and_what_failed() -> None:
    found = [
        ItemResult(1, {}, "", {"right": Graded(1.0, True)}),
        ItemResult(2, {}, "", {"right": Graded(None)}),
        ItemResult(3, {}, "", {"right": Graded(0.0, False)}),
        ItemResult(4, {}, "", {}, error="timeout"),
    ]
    assert figures_of(found, "right") == Figures("right", 2, 1, 0.5, 2, 1)


def test_an_output_item_is_read_as_the_api_gives_it() -> None:
    found = item_result(
        {
            "datasource_item_id": 6,
            "datasource_item": {"q": "a"},
            "status": "pass",
            "results": [
                {"name": "right", "score": 1.0, "passed": None},
                {"name": "near", "score": 0.25, "passed": False},
            ],
            "sample": {"output": [{"role": "assistant", "content": "Hi"}], "error": None},
        },
        [RIGHT, NEAR],
    )
    assert (found.number, found.answer, found.error) == (7, "Hi", None)
    assert found.graded["right"].passed is True
    assert found.graded["near"].passed is None


def test_an_item_that_a_grader_says_nothing_about_is_in_error() -> None:
    found = item_result({"results": [{"name": "right", "score": 1.0}]}, [RIGHT, NEAR])
    assert found.error == "there is no score of near"


@pytest.mark.parametrize(
    ("spec", "judges"),
    [
        ({"type": "string_check"}, True),
        ({"type": "label_model"}, True),
        ({"type": "score_model"}, False),
        ({"type": "text_similarity", "pass_threshold": 0.8}, True),
        ({"type": "pairwise"}, True),
        ({"type": "pairwise", "pass_threshold": None}, False),
    ],
)
def test_which_graders_pass_or_fail_items(spec: dict[str, object], judges: bool) -> None:
    assert kind_of(spec | {"name": "g"}) == GraderKind("g", judges)
