"""Tables for the terminal: every console's width is respected, numbers are never cut."""

import io

import pytest
from rich.console import Console, RenderableType

from deployments.evaluation.comparison import ComparisonSettings, ScoredGrader, compare_runs
from deployments.evaluation.reports import comparison_table
from tests.fakes.scored_runs import scored_run

LONG = "[bold]a_grader_with_a_very_long_name[/bold]"


def _shown(table: RenderableType, width: int) -> str:
    console = Console(width=width, file=io.StringIO(), color_system=None)
    with console.capture() as captured:
        console.print(table)
    return captured.get()


def _table() -> RenderableType:
    items = [{"question": str(n), "synthetic": n < 2, "part": str(n % 2)} for n in range(60)]
    graders = [ScoredGrader(LONG, higher_is_better=False), ScoredGrader("exact", binary=True)]
    before = {LONG: [n / 60 for n in range(60)], "exact": [float(n % 2) for n in range(60)]}
    after = {LONG: [n / 60 + 0.125 + n % 3 / 100 for n in range(60)], "exact": before["exact"]}
    old = scored_run("old [red]", before, graders=graders, items=items)
    new = scored_run("new", after, graders=graders, items=items)
    settings = ComparisonSettings(resamples=200, slice_by="part")
    return comparison_table(compare_runs(old, new, settings))


@pytest.mark.parametrize("width", [36, 60, 80, 140])
def test_no_line_is_wider_than_the_console_and_numbers_are_whole(width: int) -> None:
    text = _shown(_table(), width)
    assert max(map(len, text.splitlines())) <= width
    assert "…" not in text
    assert "+0.1350" in text  # the difference
    assert "old [red]" in text.replace("\n", " ")


def test_wide_consoles_show_more() -> None:
    narrow, wide = (_shown(_table(), width) for width in (60, 140))
    assert "interval" not in narrow
    assert "interval" in wide
    assert "p (Holm)" in wide


def test_what_a_person_must_know_is_there_at_any_width() -> None:
    for width in (36, 140):
        of_comparison = " ".join(_shown(_table(), width).split())
        assert "Synthetic data: 2 of 60 items were made up by a model" in of_comparison
        assert "worse" in of_comparison
        assert "four of five runs" in of_comparison
        assert "on «0»" in of_comparison


def test_slices_are_shown() -> None:
    lines = [line.split() for line in _shown(_table(), 140).splitlines()]
    rows = [line for line in lines if line[:1] in (["0"], ["1"])]
    assert {row[0] for row in rows} == {"0", "1"}
    assert {row[-1] for row in rows} == {"30"}  # pairs


def test_markup_in_names_is_text() -> None:
    assert "[bold]" in _shown(_table(), 140)
