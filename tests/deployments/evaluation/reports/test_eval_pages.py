"""Pages: whole, self-contained, with hostile text escaped and synthetic data marked."""

import re
from html.parser import HTMLParser

import pytest

from deployments.evaluation.cases import Sample
from deployments.evaluation.comparison import (
    ComparisonSettings,
    ScoredGrader,
    ScoredItem,
    ScoredRun,
    compare_runs,
)
from deployments.evaluation.reports import ReportSettings, report_of_run

HOSTILE = "<script>alert('x')</script><img src=x onerror=y>$\\frac{1}{"
VOID = {"meta", "br", "img", "input", "hr", "link"}


class _Balanced(HTMLParser):
    """Fails where an element is closed that was not opened."""

    def __init__(self) -> None:
        super().__init__()
        self.open: list[str] = []
        self.seen: list[str] = []

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)
        if tag not in VOID:
            self.open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.seen.append(tag)

    def handle_endtag(self, tag: str) -> None:
        assert self.open.pop() == tag


def _run(name: str, shift: float, synthetic: bool = True) -> ScoredRun:
    graders = [
        ScoredGrader(HOSTILE, "f1", judge={HOSTILE: [HOSTILE], "flip_rate": 0.1}),
        ScoredGrader("exact", binary=True, summary={HOSTILE: 1.0}),
    ]
    items = [
        ScoredItem(
            number=n,
            item={
                "question": f"{HOSTILE} {n}",
                "answer": HOSTILE,
                "topic": HOSTILE if n % 2 else "plain",
                "synthetic": synthetic and n <= 3,
            },
            scores={HOSTILE: (n % 7) / 7 + shift * (1 + n % 3), "exact": float(n % 3 == 0)},
            passed={"exact": n % 3 == 0},
            sample=Sample(HOSTILE, model=HOSTILE, seconds=1.0, prompt_tokens=1),
        )
        for n in range(1, 45)
    ]
    return ScoredRun(name, graders, [*items, ScoredItem(45, {"q": 1}, error=HOSTILE)])


def _checked(page: str) -> list[str]:
    parser = _Balanced()
    parser.feed(page)
    assert parser.open == []
    assert "script" not in parser.seen
    assert "img" not in parser.seen
    assert "alert(&#39;x&#39;)" in page
    assert 'name="viewport"' in page
    assert not re.search(r"""(src|href)\s*=\s*["']?(https?:|//)""", page)
    assert "url(http" not in page
    return parser.seen


@pytest.fixture(scope="module")
def run_page() -> str:
    settings = ReportSettings(resamples=200, slice_by="topic")
    return report_of_run(_run(HOSTILE, 0.0), settings).page()


@pytest.fixture(scope="module")
def comparison_page() -> str:
    settings = ComparisonSettings(resamples=200, slice_by="topic", min_difference=0.01)
    return compare_runs(_run(HOSTILE, 0.0), _run("new", 0.1), settings).page()


def test_a_runs_page_is_whole_and_escapes(run_page: str) -> None:
    seen = _checked(run_page)
    assert seen.count("svg") >= 5  # means, two histograms, slices, latency
    for told in ("Worst items", "Slowest items", "Errors", "Latency and cost", "flip_rate"):
        assert told in run_page


def test_a_comparisons_page_is_whole_and_escapes(comparison_page: str) -> None:
    seen = _checked(comparison_page)
    assert seen.count("svg") == 2
    for told in ("p (Holm)", "rank-biserial", "odds ratio", "four of five runs", "Everything"):
        assert told in comparison_page


def test_synthetic_data_is_marked_at_the_top_and_at_each_item(
    run_page: str, comparison_page: str
) -> None:
    assert "3 of 45 items were made up by a model" in run_page
    assert "3 of 45 items were made up by a model" in comparison_page
    marks = re.findall(
        r">synthetic</span>.*?<script.*? (\d+)</p>".replace("<script", "&lt;script"),
        comparison_page,
    )
    assert set(marks) <= {"1", "2", "3"}
    assert marks


def test_a_page_of_real_data_does_not_say_synthetic() -> None:
    report = report_of_run(_run("r", 0.0, synthetic=False), ReportSettings(resamples=200))
    assert "made up by a model" not in report.page()
    assert ">synthetic" not in report.page()


def test_an_empty_run_has_a_page_too() -> None:
    page = report_of_run(ScoredRun("empty", [ScoredGrader("f1")], [])).page()
    assert "0 items" in page


def test_the_page_is_the_same_for_the_same_report() -> None:
    settings = ComparisonSettings(resamples=200)
    report = compare_runs(_run("a", 0.0), _run("b", 0.1), settings)
    assert report.page() == report.page()
