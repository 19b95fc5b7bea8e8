"""The metrics of a run as OpenAI's results file has them: one CSV row a step."""

import csv
import io
import json
from pathlib import Path
from typing import Any, Final

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
    steps: dict[int, dict[str, Any]] = {}
    for line in lines.read_text().splitlines():
        try:
            news = json.loads(line)
        except ValueError:  # cut off by a crash
            continue
        row = steps.setdefault(news["step"], {"step": news["step"]})
        if news["kind"] == "train":
            row |= {
                "train_loss": news["loss"],
                "train_accuracy": news["accuracy"],
                "learning_rate": news["learning_rate"],
                "tokens": news["tokens"],
            }
        else:
            row |= {"valid_loss": news["loss"], "valid_mean_token_accuracy": news["accuracy"]}
    text = io.StringIO()
    writer = csv.DictWriter(text, _COLUMNS, restval="", lineterminator="\n")
    writer.writeheader()
    writer.writerows(row for _, row in sorted(steps.items()))
    return text.getvalue().encode()
