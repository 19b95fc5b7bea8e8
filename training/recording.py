"""What a run leaves to look at: one JSON line per piece of news, and TensorBoard files."""

import json
from dataclasses import asdict
from pathlib import Path
from types import TracebackType
from typing import Self, TextIO

from training.progress import News, StepDone, Validated

__all__ = ["Recorder", "read_metrics"]


class Recorder:
    """Appends to `metrics.jsonl` and `tensorboard/` in a run's folder.

    After a worker died, steps since the last checkpoint are taken again: of lines with one step the
    later one counts.
    """

    def __init__(self, folder: Path) -> None:
        from torch.utils.tensorboard import SummaryWriter

        folder.mkdir(parents=True, exist_ok=True)
        self._lines = (folder / "metrics.jsonl").open("a+", encoding="utf-8", buffering=1)
        _end_line(self._lines)
        self._board = SummaryWriter(str(folder / "tensorboard"))

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._lines.close()
        self._board.close()

    def add(self, news: News) -> None:
        """Write it down."""
        kind = "train" if isinstance(news, StepDone) else "validation"
        self._lines.write(json.dumps({"kind": kind, **asdict(news)}) + "\n")
        values = {"loss": news.loss, "accuracy": news.accuracy}
        if isinstance(news, StepDone):
            values["learning_rate"] = news.learning_rate
            values["gradient_norm"] = news.gradient_norm
            values["tokens_per_s"] = news.tokens / news.seconds
        for name, value in values.items():
            self._board.add_scalar(f"{kind}/{name}", value, news.step)


def _end_line(file: TextIO) -> None:
    """End the line that a killed job left half, lest the next one be lost with it."""
    file.seek(0)
    text = file.read()
    if text and not text.endswith("\n"):
        file.write("\n")


def read_metrics(path: Path) -> tuple[list[StepDone], list[Validated]]:
    """The steps and validations of a run, in order, each as it was taken last.

    A line that a killed job left half is passed over.
    """
    steps: dict[int, StepDone] = {}
    validations: dict[int, Validated] = {}
    for line in path.read_text(encoding="utf-8").splitlines():
        try:
            found = json.loads(line)
        except ValueError:
            continue
        if found.pop("kind") == "train":
            steps[found["step"]] = StepDone(**found)
        else:
            validations[found["step"]] = Validated(**found)
    return [steps[at] for at in sorted(steps)], [validations[at] for at in sorted(validations)]
