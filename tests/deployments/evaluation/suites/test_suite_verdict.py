"""What passes and what fails: thresholds, --fail-under, regressions."""

from collections.abc import Sequence

import pytest

from deployments.evaluation.suites.errors import SuiteError
from deployments.evaluation.suites.kinds import GraderKind, kind_of
from deployments.evaluation.suites.regressions import check_regressions, pair_scores
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

RIGHT = GraderKind("right", judges=True, binary=True)
NEAR = GraderKind("near", judges=False, binary=False)
SLOW = GraderKind("slow", judges=False, binary=False, higher_is_better=False)


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


def results(grader: str, values: Sequence[float | None]) -> list[ItemResult]:
    return [
        ItemResult(n, {"q": n}, "", {grader: Graded(value)}) for n, value in enumerate(values, 1)
    ]


def regression(
    kind: GraderKind, baseline: Sequence[float], candidate: Sequence[float], bound: float = 0.0
) -> bool:
    rules = {kind.name: Thresholds(max_regression=bound)}
    ours, theirs = results(kind.name, candidate), results(kind.name, baseline)
    (check,) = check_regressions(rules, [kind], ours, theirs, alpha=0.05)
    return check.passed


@pytest.mark.parametrize(
    ("kind", "baseline", "candidate", "bound", "kept"),
    [
        (RIGHT, [1.0] * 20, [1.0] * 20, 0.0, True),
        (RIGHT, [1.0] * 20, [0.0] * 8 + [1.0] * 12, 0.0, False),
        (RIGHT, [1.0] * 20, [0.0] * 2 + [1.0] * 18, 0.0, True),  # two items prove nothing
        (RIGHT, [1.0] * 20, [0.0] * 8 + [1.0] * 12, 0.5, True),
        (RIGHT, [0.0] * 20, [1.0] * 20, 0.0, True),
        (NEAR, [0.9] * 20, [0.5 + n / 100 for n in range(20)], 0.0, False),
        (NEAR, [0.9] * 20, [0.9 - 1e-12] * 20, 0.0, True),
        (SLOW, [1.0] * 20, [2.0 + n / 10 for n in range(20)], 0.0, False),
        (SLOW, [2.0] * 20, [1.0 + n / 100 for n in range(20)], 0.0, True),
    ],
)
def test_a_regression_needs_the_paired_test_and_the_bound(
    kind: GraderKind, baseline: list[float], candidate: list[float], bound: float, kept: bool
) -> None:
    assert regression(kind, baseline, candidate, bound) is kept


def test_the_tests_of_several_graders_are_corrected_together() -> None:
    """Five items lost are p = 0.031: enough for one grader, not for the weaker of two (Holm)."""
    fewer = [0.0] * 5 + [1.0] * 15
    assert not regression(RIGHT, [1.0] * 20, fewer)
    other = GraderKind("other", judges=True, binary=True)
    ours = [
        ItemResult(n, {"q": n}, "", {"right": Graded(v), "other": Graded(1.0)})
        for n, v in enumerate(fewer)
    ]
    theirs = [
        ItemResult(n, {"q": n}, "", {"right": Graded(1.0), "other": Graded(1.0)}) for n in range(20)
    ]
    rules = {"right": Thresholds(max_regression=0), "other": Thresholds(max_regression=0)}
    checks = check_regressions(rules, [RIGHT, other], ours, theirs, alpha=0.05)
    assert [check.passed for check in checks] == [True, True]
    assert "p = 0.0312" in checks[0].reason


def test_pairs_go_by_the_items_content_and_leave_out_what_is_in_one_run_only() -> None:
    ours = [
        ItemResult(1, {"q": "new"}, "", {"g": Graded(0.1)}),
        ItemResult(2, {"q": "b"}, "", {"g": Graded(0.2)}),
        ItemResult(3, {"q": "a"}, "", {"g": Graded(0.3)}),
        ItemResult(4, {"q": "c"}, "", {"g": Graded(0.4)}, error="lost"),
    ]
    theirs = [
        ItemResult(1, {"q": "a"}, "", {"g": Graded(0.5)}),
        ItemResult(2, {"q": "b"}, "", {"g": Graded(None)}),
        ItemResult(3, {"q": "c"}, "", {"g": Graded(0.7)}),
    ]
    pairs = pair_scores(ours, theirs, "g")
    assert (pairs.candidate, pairs.baseline) == ((0.3,), (0.5,))


def test_runs_without_a_common_item_cannot_be_compared() -> None:
    rules = {"right": Thresholds(max_regression=0)}
    other = [ItemResult(1, {"q": "other"}, "", {"right": Graded(1.0)})]
    with pytest.raises(SuiteError, match="no item and grader in common"):
        check_regressions(rules, [RIGHT], results("right", [1.0]), other, alpha=0.05)


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
            "datasource_item_id": 7,
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
    ("spec", "judges", "binary"),
    [
        ({"type": "string_check"}, True, True),
        ({"type": "label_model"}, True, True),
        ({"type": "text_similarity"}, False, False),
        ({"type": "text_similarity", "pass_threshold": 0.8}, True, False),
        ({"type": "pairwise"}, True, False),
        ({"type": "pairwise", "pass_threshold": None}, False, False),
    ],
)
def test_which_graders_pass_or_fail_items(
    spec: dict[str, object], judges: bool, binary: bool
) -> None:
    assert kind_of(spec | {"name": "g"}) == GraderKind("g", judges, binary)
