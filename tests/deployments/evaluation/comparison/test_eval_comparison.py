"""A comparison's numbers against scipy and statsmodels called plainly, and its report."""

import random
from statistics import fmean, stdev

import pytest
from scipy import stats
from statsmodels.stats.contingency_tables import mcnemar
from statsmodels.stats.multitest import multipletests

from deployments.evaluation.comparison import (
    ComparisonError,
    ComparisonReport,
    ComparisonSettings,
    ScoredGrader,
    ScoredRun,
    compare_runs,
)
from tests.fakes.scored_runs import binary_columns, scored_run
from training.gate.intervals import mean_interval, score_interval

QUICK = ComparisonSettings(resamples=500)
EXACT = ScoredGrader("exact", "exact_match", binary=True)
SECONDS = ScoredGrader("seconds", "latency", higher_is_better=False)


def _noisy(seed: int, items: int = 80, gain: float = 0.0) -> tuple[list[float], list[float]]:
    chance = random.Random(seed)
    baseline = [chance.random() for _ in range(items)]
    return baseline, [value + gain + chance.gauss(0, 0.1) for value in baseline]


def test_a_binary_metric_is_mcnemars_of_statsmodels() -> None:
    before, after = binary_columns(17, 5, 58)
    report = compare_runs(
        scored_run("old", {"exact": before}, graders=[EXACT]),
        scored_run("new", {"exact": after}, graders=[EXACT]),
        QUICK,
    )
    (one,) = report.metrics
    reference = mcnemar([[58, 5], [17, 0]], exact=True)
    assert one.p_value == pytest.approx(reference.pvalue, rel=1e-12)
    assert one.interval == score_interval(17, 5, 80, alpha=0.05)
    assert (one.wins, one.losses, one.items) == (17, 5, 80)
    assert [one.baseline, one.candidate] == pytest.approx([63 / 80, 75 / 80])
    assert {e.name: e.value for e in one.effects} == {
        "Cohen's g": pytest.approx(17 / 22 - 0.5),
        "odds ratio": pytest.approx(17 / 5),
    }
    assert one.effects[0].size == "large"
    assert (one.verdict, report.verdict) == ("better", "better")


def test_another_metric_is_wilcoxons_of_scipy() -> None:
    before, after = _noisy(1, gain=0.05)
    (one,) = compare_runs(
        scored_run("old", {"f1": before}), scored_run("new", {"f1": after}), QUICK
    ).metrics
    differences = [b - a for a, b in zip(before, after, strict=True)]
    found = stats.wilcoxon(after, before)
    assert one.p_value == pytest.approx(found.pvalue, rel=1e-12)
    assert one.interval == mean_interval(differences, alpha=0.05, resamples=500, seed=0)
    effects = {e.name: e.value for e in one.effects}
    assert effects["Cohen's d_z"] == pytest.approx(fmean(differences) / stdev(differences))
    total = 80 * 81 / 2
    assert abs(effects["rank-biserial"] or 0) == pytest.approx(1 - 2 * found.statistic / total)
    assert one.verdict == "better"


def test_p_values_are_adjusted_as_statsmodels_does_by_holm() -> None:
    columns = {f"m{seed}": _noisy(seed, gain=0.012 * seed) for seed in range(5)}
    report = compare_runs(
        scored_run("old", {name: before for name, (before, _) in columns.items()}),
        scored_run("new", {name: after for name, (_, after) in columns.items()}),
        QUICK,
    )
    raw = [one.p_value for one in report.metrics]
    expected = multipletests(raw, method="holm")[1]
    assert [one.adjusted_p_value for one in report.metrics] == pytest.approx(list(expected))
    assert any(one.p_value < 0.05 <= one.adjusted_p_value for one in report.metrics)


def test_lower_is_better_turns_the_verdict_not_the_difference() -> None:
    before, after = _noisy(2, gain=0.1)
    (one,) = compare_runs(
        scored_run("old", {"seconds": before}, graders=[SECONDS]),
        scored_run("new", {"seconds": after}, graders=[SECONDS]),
        QUICK,
    ).metrics
    assert one.difference == pytest.approx(fmean(after) - fmean(before))
    assert one.interval is not None
    assert 0 < one.interval.low < one.difference < one.interval.high
    assert (one.verdict, one.direction) == ("worse", "worse")
    assert one.losses > one.wins
    assert all(e.value is not None and e.value < 0 for e in one.effects)


def test_unpaired_items_and_missing_scores_are_named() -> None:
    old = scored_run("old", {"f1": [0.1, 0.2, None, 0.4, float("nan")]})
    new = scored_run("new", {"f1": [0.3, 0.2, 0.5, 0.6]})
    moved = ScoredRun(
        "new",
        new.graders,
        [*new.items[1:], *scored_run("x", {"f1": [1.0]}, items=[{"question": "only here"}]).items],
    )
    report = compare_runs(old, moved, QUICK)
    assert report.pairing.pairs == 3
    assert report.pairing.baseline_only == (1, 5)
    assert report.pairing.candidate_only == (1,)
    (one,) = report.metrics
    assert (one.items, one.missing.baseline, one.missing.candidate) == (2, (3,), ())


def test_a_side_that_fails_on_many_items_is_not_judged_on_the_rest() -> None:
    before, after = binary_columns(40, 0, 20)
    failed: list[float | None] = [*after[:50], *([None] * 10)]
    report = compare_runs(
        scored_run("old", {"exact": before}, graders=[EXACT]),
        scored_run("new", {"exact": failed}, graders=[EXACT]),
        QUICK,
    )
    (one,) = report.metrics
    assert one.missing.candidate == tuple(range(51, 61))
    assert one.adjusted_p_value < 0.001
    assert report.verdict == "no difference shown"
    assert "10 pairs have a score from one run only" in one.reason
    assert "Not judged, for too many scores are missing in one run: exact." in report.reasons
    borne = QUICK.model_copy(update={"max_missing": 0.2})
    assert (
        compare_runs(
            scored_run("old", {"exact": before}, graders=[EXACT]),
            scored_run("new", {"exact": failed}, graders=[EXACT]),
            borne,
        ).verdict
        == "better"
    )


def test_a_slice_that_loses_makes_a_win_mixed() -> None:
    topics = [
        {"question": str(n), "topic": "law" if n < 30 else "tax" if n < 100 else "few"}
        for n in range(105)
    ]
    before = [1.0] * 30 + [0.0] * 75
    after = [0.0] * 15 + [1.0] * 15 + [1.0] * 70 + [0.0] * 5
    report = compare_runs(
        scored_run("old", {"exact": before}, graders=[EXACT], items=topics),
        scored_run("new", {"exact": after}, graders=[EXACT], items=topics),
        ComparisonSettings(resamples=500, slice_by="topic"),
    )
    (one,) = report.metrics
    assert one.verdict == "better"
    assert [(s.name, s.verdict, s.items) for s in one.slices] == [
        ("law", "worse", 30),
        ("tax", "better", 70),
        ("few", "too small", 5),
    ]
    law, tax, few = one.slices
    raw = [float(stats.binomtest(15, 15).pvalue), float(stats.binomtest(70, 70).pvalue)]
    adjusted = multipletests(raw, method="holm")[1]
    assert [law.p_value, tax.p_value] == pytest.approx(list(adjusted))
    assert (few.p_value, few.interval) == (None, None)
    assert report.verdict == "mixed"
    assert "exact on «law»" in " ".join(report.reasons)


def test_holms_family_of_slices_is_all_metrics() -> None:
    items = [{"question": str(n), "part": str(n % 2)} for n in range(60)]
    columns = {f"m{seed}": _noisy(seed, 60, 0.03) for seed in range(3)}
    report = compare_runs(
        scored_run("old", {name: before for name, (before, _) in columns.items()}, items=items),
        scored_run("new", {name: after for name, (_, after) in columns.items()}, items=items),
        ComparisonSettings(resamples=200, slice_by="part"),
    )
    found, raw = {}, {}
    for one in report.metrics:
        before, after = columns[one.grader]
        for part in one.slices:
            places = range(int(part.name), 60, 2)
            found[one.grader, part.name] = part.p_value
            raw[one.grader, part.name] = float(
                stats.wilcoxon([after[i] - before[i] for i in places]).pvalue
            )
    expected = multipletests(list(raw.values()), method="holm")[1]
    assert list(found.values()) == pytest.approx(list(expected))
    assert list(found) == list(raw)
    assert len(raw) == 6


def test_graders_of_one_run_only_are_left_out_by_name() -> None:
    old = scored_run(
        "old",
        {"a": [0.1, 0.2], "b": [0.1, 0.2], "c": [0.1, 0.2]},
        graders=[ScoredGrader("a"), ScoredGrader("b"), ScoredGrader("c")],
    )
    new = scored_run(
        "new",
        {"a": [0.1, 0.2], "b": [0.1, 0.2], "d": [0.1, 0.2]},
        graders=[ScoredGrader("a"), ScoredGrader("b", "other"), ScoredGrader("d")],
    )
    report = compare_runs(old, new, QUICK)
    assert [one.grader for one in report.metrics] == ["a"]
    reasons = {one.grader: one.reason for one in report.left_out}
    assert reasons["c"] == "Only the run «old» has it."
    assert reasons["d"] == "Only the run «new» has it."
    assert "another thing" in reasons["b"]


def test_what_cannot_be_compared_says_why() -> None:
    old = scored_run("old", {"a": [0.5]})
    other = scored_run("new", {"a": [0.5]}, items=[{"question": "another"}])
    with pytest.raises(ComparisonError, match=r"no item in common.*pair_by to `number`"):
        compare_runs(old, other, QUICK)
    by_number = QUICK.model_copy(update={"pair_by": "number"})
    assert compare_runs(old, other, by_number).pairing.pairs == 1
    with pytest.raises(ComparisonError, match="Neither run has a grader «z»; there are: a"):
        compare_runs(old, old, QUICK.model_copy(update={"graders": ("z",)}))
    with pytest.raises(ComparisonError, match="No grader has scores"):
        compare_runs(old, scored_run("new", {"a": [None]}), QUICK)
    half = scored_run("old", {"exact": [0.5]}, graders=[EXACT])
    with pytest.raises(ComparisonError, match=r"«exact» is binary, but scores item 1 with 0\.5"):
        compare_runs(half, half, QUICK)


def test_the_report_survives_json_and_names_what_could_be_seen() -> None:
    before, after = binary_columns(30, 30, 240)
    items = [{"question": f"q{n}", "synthetic": n < 7} for n in range(300)]
    report = compare_runs(
        scored_run("old", {"exact": before}, graders=[EXACT], items=items),
        scored_run("new", {"exact": after}, graders=[EXACT], items=items),
        QUICK,
    )
    assert ComparisonReport.model_validate_json(report.model_dump_json()) == report
    assert report.verdict == "no difference shown"
    assert report.pairing.synthetic == 7
    assert sum(one.synthetic for one in report.items) == 7
    (one,) = report.metrics
    assert "With 300 items" in one.power
    assert "points or more is shown in four of five runs" in one.power


def test_more_metrics_need_a_larger_difference() -> None:
    before, after = binary_columns(20, 20, 160)
    columns = dict.fromkeys("abcd", before), dict.fromkeys("abcd", after)
    graders = [ScoredGrader(name, binary=True) for name in "abcd"]
    many = compare_runs(
        scored_run("old", columns[0], graders=graders),
        scored_run("new", columns[1], graders=graders),
        QUICK,
    )
    alone = compare_runs(
        scored_run("old", columns[0], graders=graders),
        scored_run("new", columns[1], graders=graders),
        QUICK.model_copy(update={"graders": ("a",)}),
    )
    assert many.metrics[0].detectable is not None
    assert alone.metrics[0].detectable is not None
    assert many.metrics[0].detectable > 1.1 * alone.metrics[0].detectable


def test_the_items_that_differ_most_come_first_with_both_answers() -> None:
    old = scored_run("old", {"f1": [0.5, 0.9, 0.4]}, answers=["a", "b", "c"])
    new = scored_run("new", {"f1": [0.6, 0.1, 0.4]}, answers=["x", "y", "z"])
    report = compare_runs(old, new, ComparisonSettings(resamples=200, items_kept=2))
    assert [(one.number, one.baseline, one.candidate) for one in report.items] == [
        (2, "b", "y"),
        (1, "a", "x"),
    ]
    assert report.items[0].scores[0].baseline == 0.9
