"""What a dataset looks like in a terminal of any width."""

import io

import pytest
from rich.console import Console, RenderableType

from tests.training.data.samples import completions
from training.data.curation.pipeline import curate
from training.data.inspect import Bin, inspect_examples
from training.data.problems import Problem
from training.data.rendering import (
    Bars,
    render_inspection,
    render_mask,
    render_problems,
    render_receipt,
)
from training.examples import TextExample

BINS = (Bin(0, 9, 1), Bin(10, 19, 1000), Bin(20, None, 0))


def shown(renderable: RenderableType, width: int, encoding: str = "utf-8") -> list[str]:
    stream = io.TextIOWrapper(io.BytesIO(), encoding=encoding)
    Console(file=stream, width=width).print(renderable)
    stream.flush()
    assert isinstance(stream.buffer, io.BytesIO)
    return stream.buffer.getvalue().decode(encoding).splitlines()


@pytest.mark.parametrize("width", [20, 40, 80, 200])
def test_bars_fill_the_width_and_no_more(width: int) -> None:
    lines = shown(Bars(BINS), width)
    assert [len(line.rstrip()) for line in lines] == [width] * 3
    assert lines[1].count("█") == width - len("10-19") - len("1,000") - 2
    assert set(lines[0]) & set("▏▎")  # one row in a thousand is not nothing
    assert not set(lines[2]) & set("▏▎▍▌▋▊▉█")


def test_a_narrow_console_shows_the_figures_alone() -> None:
    assert [line.rstrip() for line in shown(Bars(BINS), 12)] == [
        "  0-9     1",
        "10-19 1,000",
        "  20+     0",
    ]


def test_a_console_without_blocks_shows_signs() -> None:
    lines = shown(Bars(BINS), 40, "ascii")
    assert lines[1].count("#") == 28
    assert lines[0].count("#") == 1


def test_an_inspection_shows_counts_quantiles_and_bars() -> None:
    seen = inspect_examples([TextExample("a" * n, "b") for n in range(20)], lambda e: len(str(e)))
    lines = shown(render_inspection(seen), 200)
    assert lines[0] == "20 rows: 20 completions; 40 messages, 210 characters"
    assert "950 tokens, 47.5 a row: shortest 38, 5% 38, 25% 42" in lines[1]
    assert "longest 57" in lines[1]
    assert sum("█" in line for line in lines) > 1


def test_an_empty_dataset_is_shown_too() -> None:
    assert shown(render_inspection(inspect_examples([], lambda _: 1)), 80) == ["0 rows"]


def test_problems_are_shown_as_they_are_and_counted() -> None:
    problems = [Problem(3, "messages[0].role", "is [bold]."), Problem(0, "\x1b[31mx", "is empty.")]
    lines = [line.rstrip() for line in shown(render_problems(problems, 7), 80)]
    assert lines[1].split(maxsplit=2) == ["3", "messages[0].role", "is [bold]."]
    assert lines[2].split() == ["file", "␛[31mx", "is", "empty."]
    assert lines[3].strip() == "and 7 more"


def test_a_mask_marks_what_carries_loss() -> None:
    text = render_mask([("user: hi\n", 0.0), ("hello\x1b[2J", 1.0)])
    assert text.plain == "user: hi\nhello␛[2J"
    (loss,) = [span for span in text.spans if "green" in str(span.style)]
    assert text.plain[loss.start : loss.end] == "hello␛[2J"


def test_a_receipt_shows_each_stage() -> None:
    rows = completions([("One question?", "a"), ("one  QUESTION?", "a"), ("Another?", "b")])
    lines = shown(render_receipt(curate(rows).receipt), 100)
    assert any(
        line.split()[:5] == ["exact_duplicates", "3", "2", "1", "duplicate;"] for line in lines
    )
    assert lines[-2].split() == ["train", "1"]
    assert lines[-1].split() == ["validation", "1"]
