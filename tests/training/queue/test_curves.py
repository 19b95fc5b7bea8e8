"""The results file: one row a step, as OpenAI's has it."""

import json
from dataclasses import asdict
from pathlib import Path
from typing import Any

from training.progress import StepDone, Validated
from training.queue.curves import metrics_csv


def train(step: int, loss: float) -> dict[str, Any]:
    done = StepDone(
        step=step,
        steps=3,
        epoch=step / 3,
        loss=loss,
        accuracy=0.5,
        learning_rate=0.001,
        gradient_norm=1.0,
        tokens=9,
        trained_tokens=4,
        seconds=1.0,
        workers=1,
    )
    return {"kind": "train", **asdict(done)}


def table(path: Path, lines: list[dict[str, Any]], rest: str = "") -> list[list[str]]:
    path.write_text("".join(json.dumps(line) + "\n" for line in lines) + rest)
    return [line.split(",") for line in metrics_csv(path).decode().splitlines()]


def test_a_validation_stands_in_the_row_of_its_step(tmp_path: Path) -> None:
    found = Validated(step=2, loss=1.5, accuracy=0.25, best=True, seconds=1.0)
    seen = {"kind": "validation", **asdict(found)}
    head, *rows = table(tmp_path / "m", [train(1, 3.0), train(2, 2.0), seen, train(3, 1.0)])
    assert head == [
        "step",
        "train_loss",
        "train_accuracy",
        "valid_loss",
        "valid_mean_token_accuracy",
        "learning_rate",
        "tokens",
    ]
    assert rows == [
        ["1", "3.0", "0.5", "", "", "0.001", "9"],
        ["2", "2.0", "0.5", "1.5", "0.25", "0.001", "9"],
        ["3", "1.0", "0.5", "", "", "0.001", "9"],
    ]


def test_of_a_step_that_was_taken_twice_the_later_counts(tmp_path: Path) -> None:
    lines = [train(1, 3.0), train(2, 2.0), train(3, 9.0), train(2, 2.5), train(3, 1.0)]
    _, *rows = table(tmp_path / "m", lines)
    assert [(row[0], row[1]) for row in rows] == [("1", "3.0"), ("2", "2.5"), ("3", "1.0")]


def test_a_line_that_a_crash_cut_off_is_passed_over(tmp_path: Path) -> None:
    _, *rows = table(tmp_path / "m", [train(1, 3.0)], '{"kind": "train", "st')
    assert [row[0] for row in rows] == ["1"]
