"""The page of a run: one file that a browser shows without asking anybody."""

import json
import re
from collections.abc import Sequence
from pathlib import Path
from typing import Any
from xml.etree import ElementTree

import pytest

from training.progress import News, StepDone, Validated
from training.recording import Recorder, read_metrics
from training.report_page import render_page, write_page

SVG = "{http://www.w3.org/2000/svg}"


def step(number: int, loss: float) -> StepDone:
    return StepDone(number, 40, number / 20, loss, 0.5, 1e-3, 1.0, 100 * number, 50, 0.5, 1)


STEPS = [step(number, 4 / number) for number in range(1, 41)]
VALIDATIONS = [Validated(20, 0.9, 0.4, True, 1.0), Validated(40, 1.1, 0.3, False, 1.0)]


def document(**changes: Any) -> dict[str, Any]:
    """A report, as `RunReport.document` makes it."""
    stage = {
        "stage": "exact_duplicates",
        "rows_in": 1_234,
        "rows_out": 1_200,
        "removed": {"duplicate": 34},
        "changed": 0,
        "found": {"groups": 30},
    }
    return {
        "name": "banking",
        "ending": "finished",
        "weights": "/runs/banking/adapter",
        "checkpoint": "/runs/banking/checkpoint-40",
        "steps": 40,
        "steps_taken": 40,
        "last_step": {"step": 40, "loss": 0.1, "accuracy": 0.5},
        "validations": [{"step": 20, "loss": 0.9, "accuracy": 0.4, "best": True, "seconds": 1.0}],
        "best_validation_loss": 0.9,
        "tokens_per_s": 133.4,
        "seconds": 61.5,
        "curation": {
            "rows": 1_234,
            "train_rows": 1_000,
            "validation_rows": 200,
            "stages": [stage],
            "receipt_sha256": "ab" * 32,
        },
        "data": {
            "tokens": 90_000,
            "trained_tokens": 5_000,
            "longest": 99,
            "truncated": 3,
            "without_loss": 0,
        },
        "validation_data": None,
        "samples": {"train": 1_000, "validation": 200},
        "modules": 210,
        "fingerprint": {"data": "cd" * 32},
        "settings": {
            "model": "packaged:smollm2",
            "method": "supervised",
            "adapter": {"kind": "lora", "rank": 16},
            "batch": {"max_tokens": 256},
            "data": {"train": "/data/train.jsonl", "columns": None},
        },
        "versions": {"torch": "2.9"},
        **changes,
    }


def add_all(recorder: Recorder, told: Sequence[News]) -> None:
    for news in told:
        recorder.add(news)


def text_of(page: str) -> str:
    """What a reader sees."""
    return " ".join(re.sub(r"<style.*?</style>|<[^>]*>", " ", page, flags=re.DOTALL).split())


def curves(page: str) -> list[ElementTree.Element]:
    """The plots of the page, parsed."""
    drawn = re.findall(r"<svg.*?</svg>", page, flags=re.DOTALL)
    return [ElementTree.fromstring(svg) for svg in drawn]  # noqa: S314 - our own


def test_the_page_says_what_was_trained_on_what_and_with_what_result() -> None:
    said = text_of(render_page(document(), STEPS, VALIDATIONS))
    for part in (
        "banking",
        "lora on packaged:smollm2 : all epochs done",
        "0.9 best validation loss",
        "40 of 40 steps",
        "133.4 tokens/s",
        "1,000 to train on, 200 to validate",
        "90,000, of which 5,000 carry loss",
        "exact duplicates 1,234 1,200 34 duplicate; groups 30",
        "adapter.rank 16",
        "data.columns —",
        "ab" * 32,
    ):
        assert part in said


def test_the_losses_are_drawn_where_they_were() -> None:
    loss, rate = curves(render_page(document(), STEPS, VALIDATIONS))
    labels = {"".join(text.itertext()).strip() for text in loss.iter(f"{SVG}text")}
    assert {"training", "training, smoothed", "validation", "loss", "step"} <= labels
    points = [
        len(re.findall(r"[ML] ", path.get("d", "")))
        for group in loss.iter(f"{SVG}g")
        if group.get("id", "").startswith("line2d")
        for path in group.findall(f"{SVG}path")
    ]
    assert points.count(len(STEPS)) == 2
    assert "tokens/s" in {"".join(text.itertext()).strip() for text in rate.iter(f"{SVG}text")}


def test_a_short_run_without_validation_has_one_curve() -> None:
    report = document(validations=[], best_validation_loss=None, curation=None)
    page = render_page(report, STEPS[:3], [])
    labels = {"".join(text.itertext()).strip() for text in curves(page)[0].iter(f"{SVG}text")}
    assert "training" in labels
    assert not labels & {"validation", "training, smoothed"}
    assert "The data was not curated" in page


def test_a_run_that_took_no_step_has_no_plot() -> None:
    report = document(last_step=None, validations=[], best_validation_loss=None)
    page = render_page(report, [], [])
    assert curves(page) == []
    assert "No step was taken" in page


def test_names_are_text_and_nothing_is_fetched() -> None:
    page = render_page(document(weights="<script>alert(1)</script>"), STEPS, VALIDATIONS)
    assert "<script" not in page
    assert "&lt;script&gt;" in page
    assert not re.search(r"""(src|href)\s*=\s*["'](?!#)""", page)
    assert "@import" not in page


def test_the_plots_show_the_whole_run_also_when_it_went_on(tmp_path: Path) -> None:
    with Recorder(tmp_path) as recorder:
        add_all(recorder, [*STEPS[:20], VALIDATIONS[0]])
    with (tmp_path / "metrics.jsonl").open("a") as killed:
        killed.write('{"kind": "tra\n')
    with Recorder(tmp_path) as recorder:
        add_all(recorder, [step(20, 9.0), *STEPS[20:], VALIDATIONS[1]])
    steps, validations = read_metrics(tmp_path / "metrics.jsonl")
    assert steps == [*STEPS[:19], step(20, 9.0), *STEPS[20:]]
    assert validations == VALIDATIONS
    page = write_page(tmp_path, json.loads(json.dumps(document())))
    assert page.name == "report.html"
    assert len(curves(page.read_text())) == 2


@pytest.mark.parametrize("ending", ["early_stopping", "stopped"])
def test_the_page_says_how_the_run_ended(ending: str) -> None:
    assert "stopped" in text_of(render_page(document(ending=ending), STEPS, []))
