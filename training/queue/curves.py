"""The metrics of a run as OpenAI's results file has them: one CSV row a step."""

import csv
import io
from pathlib import Path
from typing import Any, Final

from training.recording import read_metrics

__all__ = ["metrics_csv"]

_COLUMNS: Final = (
    "step",
    "train_loss",
    "train_accuracy",
    "valid_loss",
    "valid_mean_token_accuracy",
    "learning_rate",
    "tokens",
)


def metrics_csv(lines: Path) -> bytes:
    """`metrics.jsonl` of a run as CSV. Of steps that were taken twice the later one counts."""
    taken, validated = read_metrics(lines)
    steps: dict[int, dict[str, Any]] = {}
    for done in taken:
        steps.setdefault(done.step, {"step": done.step}).update(
            train_loss=done.loss,
            train_accuracy=done.accuracy,
            learning_rate=done.learning_rate,
            tokens=done.tokens,
        )
    for seen in validated:
        steps.setdefault(seen.step, {"step": seen.step}).update(
            valid_loss=seen.loss, valid_mean_token_accuracy=seen.accuracy
        )
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(row for _, row in sorted(steps.items()))
    return text.getvalue().encode()
