"""What a run was, and what came of it."""

from collections.abc import Sequence
from dataclasses import asdict
from importlib.metadata import PackageNotFoundError, version
from itertools import pairwise
from pathlib import Path
from typing import Any, Final

from training.data.curation.receipt import Receipt
from training.errors import TrainingError
from training.preflight import PreparedRun
from training.progress import News, Outcome, StepDone, Validated

__all__ = ["RunReport", "curve"]

_BARS: Final = "▁▂▃▄▅▆▇█"
_PACKAGES: Final = ("everloop", "torch", "transformers", "peft", "ray", "bitsandbytes")


class RunReport:
    """Gathers a run's news; `document` and `text` once `finish` was called."""

    def __init__(self, run: PreparedRun) -> None:
        self._run = run
        self._steps: dict[int, StepDone] = {}
        self._validations: dict[int, Validated] = {}
        self._outcome: Outcome | None = None
        self._target: Path | None = None
        self._seconds = 0.0

    @property
    def outcome(self) -> Outcome:
        """How it ended; set by whoever ran it."""
        if self._outcome is None:
            raise TrainingError(f"The run {self._run.settings.name} has not ended.")
        return self._outcome

    @outcome.setter
    def outcome(self, outcome: Outcome) -> None:
        self._outcome = outcome

    def add(self, news: News) -> None:
        """Take note. A step that was taken again replaces the first try."""
        if isinstance(news, StepDone):
            self._steps[news.step] = news
        else:
            self._validations[news.step] = news

    def finish(self, target: Path, seconds: float) -> None:
        """`target`: where the weights went; `seconds`: of the whole job."""
        self._target = target
        self._seconds = seconds

    @property
    def tokens_per_s(self) -> float:
        """Real tokens per second of training steps; 0 when no step was taken now."""
        seconds = sum(step.seconds for step in self._steps.values())
        return sum(step.tokens for step in self._steps.values()) / seconds if seconds else 0.0

    @property
    def document(self) -> dict[str, Any]:
        """JSON: steps of this job only, where it went on from an earlier one's checkpoint."""
        run = self._run
        last = self._steps[max(self._steps)] if self._steps else None
        validations = [asdict(v) for _, v in sorted(self._validations.items())]
        return {
            "name": run.settings.name,
            "ending": self.outcome.ending,
            "weights": str(self._target),
            "checkpoint": str(self.outcome.checkpoint),
            "steps": run.steps,
            "steps_taken": len(self._steps),
            "last_step": asdict(last) if last else None,
            "validations": validations,
            "best_validation_loss": min((v["loss"] for v in validations), default=None),
            "tokens_per_s": round(self.tokens_per_s, 2),
            "seconds": round(self._seconds, 2),
            "curation": _curation(run.receipt),
            "data": asdict(run.counts),
            "validation_data": asdict(run.validation_counts) if run.validation_counts else None,
            "samples": {"train": len(run.train), "validation": len(run.validation)},
            "modules": run.modules,
            "fingerprint": dict(run.plan.fingerprint),
            "settings": run.settings.model_dump(mode="json"),
            "versions": {name: found for name in _PACKAGES if (found := _version(name))},
        }

    @property
    def _losses(self) -> list[float]:
        return [step.loss for _, step in sorted(self._steps.items())]

    @property
    def text(self) -> str:
        """The same in a few lines."""
        done = self.document
        last = done["last_step"]
        lines = [f"{done['name']}: {done['ending'].replace('_', ' ')}, in {done['seconds']} s"]
        if self._run.receipt is not None:
            lines.append(f"curated: {self._run.receipt.outcome}")
        if last:
            lines.append(f"step {last['step']} of {done['steps']}, {done['tokens_per_s']} tokens/s")
            lines.append(f"loss {self._losses[0]:.4f} {curve(self._losses)} {last['loss']:.4f}")
        if done["best_validation_loss"] is not None:
            lines.append(f"best validation loss {done['best_validation_loss']:.4f}")
        lines.append(f"weights: {done['weights']}")
        if done["ending"] == "stopped":
            lines.append("The same command goes on from the checkpoint.")
        return "\n".join(lines)


def curve(values: Sequence[float], width: int = 48) -> str:
    """Values from first to last as a row of bars, each the mean of its stretch."""
    count = min(width, len(values))
    ends = [len(values) * i // count for i in range(count + 1)]
    means = [sum(values[a:b]) / (b - a) for a, b in pairwise(ends)]
    low, high = min(means), max(means)
    steps = (len(_BARS) - 1) / (high - low) if high > low else 0.0
    return "".join(_BARS[round((mean - low) * steps)] for mean in means)


def _curation(receipt: Receipt | None) -> dict[str, Any] | None:
    """The receipt's counts; the whole of it lies in `receipt.json`."""
    if receipt is None:
        return None
    stages = [
        {
            "stage": stage.stage,
            "rows_in": stage.rows_in,
            "rows_out": stage.rows_out,
            "removed": dict(stage.removed),
            "changed": stage.changed,
            "found": dict(stage.found),
        }
        for stage in receipt.stages
    ]
    return {
        "rows": receipt.rows,
        "train_rows": receipt.train_rows,
        "validation_rows": receipt.validation_rows,
        "stages": stages,
        "receipt_sha256": receipt.sha256,
    }


def _version(package: str) -> str | None:
    try:
        return version(package)
    except PackageNotFoundError:
        return None
