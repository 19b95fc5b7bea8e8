"""A run's report: its figures against numpy and statsmodels, and what is counted."""

import math
from statistics import fmean, median, stdev
from typing import Any

import numpy as np
import pytest
from statsmodels.stats.proportion import proportion_confint

from deployments.evaluation.cases import Sample
from deployments.evaluation.comparison import ScoredGrader, ScoredItem, ScoredRun
from deployments.evaluation.reports import ReportSettings, RunReport, report_of_run
from training.gate.intervals import mean_interval

QUICK = ReportSettings(resamples=500)
VALUES = [0.1, 0.9, 0.4, 0.4, 0.8, 0.25]


def _run() -> ScoredRun:
    graders = [
        ScoredGrader("f1", "token_f1", summary={"corpus": 41.5, "broken": math.nan}),
        ScoredGrader("exact", binary=True),
        ScoredGrader("judge", judge={"flip_rate": 0.25, "bar": {"kappa": 0.4}}),
    ]
    items = [
        ScoredItem(
            number=n + 1,
            item={"question": f"q{n}", "answer": "r", "topic": "odd" if n % 2 else "even"},
            scores={"f1": value, "exact": float(value > 0.3)},
            passed={"f1": value >= 0.4},
            sample=Sample(
                f"answer {n}",
                model="small",
                seconds=float(n),
                prompt_tokens=100,
                completion_tokens=10,
                refused=n == 0,
            ),
        )
        for n, value in enumerate(VALUES)
    ]
    lost = [ScoredItem(number=7 + n, item={"synthetic": True}, error="timed out") for n in range(2)]
    return ScoredRun("a run", graders, [*items, *lost])


def test_figures_of_a_grader() -> None:
    report = report_of_run(_run(), QUICK)
    f1, exact, judge = report.graders
    assert f1.mean == pytest.approx(fmean(VALUES))
    assert (f1.median, f1.minimum, f1.maximum) == (median(VALUES), 0.1, 0.9)
    assert f1.spread == pytest.approx(stdev(VALUES))
    assert f1.interval == mean_interval(VALUES, alpha=0.05, resamples=500, seed=0)
    assert (f1.scored, f1.unscored, f1.passed, f1.failed) == (6, 2, 4, 2)
    low, high = proportion_confint(4, 6, method="wilson")
    assert f1.pass_rate == pytest.approx(4 / 6)
    assert f1.pass_interval is not None
    assert [f1.pass_interval.low, f1.pass_interval.high] == pytest.approx([low, high])
    assert f1.summary == {"corpus": 41.5, "broken": None}
    assert exact.interval is not None
    assert exact.interval.method == "Wilson"
    assert exact.interval.low == pytest.approx(low)
    assert exact.pass_rate is None
    assert (judge.scored, judge.mean, judge.judge["flip_rate"]) == (0, None, 0.25)


def test_the_histogram_is_numpys_and_counts_every_score() -> None:
    f1, exact, _ = report_of_run(_run(), QUICK).graders
    counts, edges = np.histogram(VALUES, bins=10)
    assert [one.count for one in f1.histogram] == counts.tolist()
    assert [one.low for one in f1.histogram] == pytest.approx(edges[:-1].tolist())
    assert [one.count for one in exact.histogram] == [2, 4]


def test_errors_latency_tokens_and_synthetic_items_are_counted() -> None:
    prices = QUICK.model_copy(update={"prompt_price": 2.0, "completion_price": 10.0})
    report = report_of_run(_run(), prices)
    assert (report.items, report.answered, report.refused, report.synthetic) == (8, 6, 1, 2)
    assert report.models == {"small": 6}
    assert [(e.message, e.count, e.numbers) for e in report.errors] == [("timed out", 2, (7, 8))]
    assert report.times is not None
    assert (report.times.median_s, report.times.p95_s, report.times.longest_s) == (2.5, 5.0, 5.0)
    assert report.tokens is not None
    assert (report.tokens.prompt_tokens, report.tokens.completion_tokens) == (600, 60)
    assert report.tokens.cost == pytest.approx((600 * 2 + 60 * 10) / 1e6)
    free = report_of_run(_run(), QUICK).tokens
    assert free is not None
    assert free.cost is None


def test_the_worst_fail_most_and_score_lowest_and_the_slowest_took_longest() -> None:
    report = report_of_run(_run(), QUICK.model_copy(update={"worst_kept": 3, "slowest_kept": 2}))
    assert [one.number for one in report.worst] == [1, 6, 3]
    assert [one.number for one in report.slowest] == [6, 5]
    first = report.worst[0]
    assert (first.question, first.reference, first.answer, first.refused) == (
        "q0",
        "r",
        "answer 0",
        True,
    )
    assert [(s.grader, s.value, s.passed) for s in first.scores] == [
        ("f1", 0.1, False),
        ("exact", 0.0, None),
        ("judge", None, None),
    ]


def test_a_low_score_is_no_fault_where_lower_is_better() -> None:
    grader = ScoredGrader("toxicity", higher_is_better=False)
    items = [ScoredItem(n, {"question": str(n)}, {"toxicity": n / 10}) for n in range(1, 4)]
    report = report_of_run(ScoredRun("r", [grader], items), QUICK)
    assert [one.number for one in report.worst] == [3, 2, 1]


def test_slices_have_means_and_small_ones_no_interval() -> None:
    settings = QUICK.model_copy(update={"slice_by": "topic", "min_slice_items": 3})
    f1 = report_of_run(_run(), settings).graders[0]
    assert [(s.name, s.items) for s in f1.slices] == [("even", 3), ("odd", 3)]
    assert f1.slices[0].mean == pytest.approx(fmean(VALUES[0::2]))
    assert f1.slices[0].interval is not None
    strict = settings.model_copy(update={"min_slice_items": 4, "max_slices": 1})
    f1 = report_of_run(_run(), strict).graders[0]
    assert [(s.name, s.interval) for s in f1.slices] == [("even", None)]
    assert f1.slices_left_out == 1


def test_a_run_without_any_score_or_item_still_reports() -> None:
    report = report_of_run(ScoredRun("empty", [ScoredGrader("f1")], []), QUICK)
    assert (report.items, report.graders[0].mean, report.times, report.worst) == (0, None, None, ())


def test_it_survives_json() -> None:
    report = report_of_run(_run(), QUICK.model_copy(update={"slice_by": "topic"}))
    assert RunReport.model_validate_json(report.model_dump_json()) == report


def test_the_question_is_found_in_messages_fields_or_the_whole_item() -> None:
    messages = [{"role": "user", "content": "asked"}, {"role": "assistant", "content": "said"}]
    items: list[dict[str, Any]] = [
        {"messages": messages},
        {"input": "in"},
        {"x": 1, "y": 2},
        {"question": "l" * 3000},
    ]
    run = ScoredRun(
        "r", [ScoredGrader("f1")], [ScoredItem(n, one, {"f1": n}) for n, one in enumerate(items, 1)]
    )
    shown = [one.question for one in report_of_run(run, QUICK).worst]
    assert shown[:3] == ["asked", "in", "x: 1, y: 2"]
    assert len(shown[3]) == 2001
