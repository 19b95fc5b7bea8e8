"""A run in this process, without a cluster: for small models, tests and debuggers."""

import re
import shutil
from collections.abc import Callable
from pathlib import Path
from typing import Final

from training.checkpoint import read_checkpoint, write_checkpoint
from training.loop import TrainingLoop
from training.preflight import PreparedRun
from training.progress import News, Outcome
from training.trainer import build_loop

__all__ = ["kept_checkpoints", "train_in_process"]

_FOLDER: Final = "checkpoints"
_NAME: Final = re.compile(r"checkpoint-(\d+)")


def train_in_process(
    run: PreparedRun, hear: Callable[[News], None], stopping: Callable[[], bool]
) -> Outcome:
    """Train, from the run's last checkpoint on if it has one. See `TrainingLoop.run` for errors."""
    device = "cuda" if run.settings.workers.gpu else "cpu"
    loop = build_loop(run.plan, run.train, run.validation, device=device)
    kept = _Kept(run, hear, stopping)
    if (last := kept.last()) is not None:
        read_checkpoint(loop, last, dict(run.plan.fingerprint))
    ending = loop.run(kept)
    if (last := kept.last()) is None:
        raise AssertionError("a loop that ended without an error has called `checkpoint`")
    return Outcome(ending, last)


def kept_checkpoints(folder: Path) -> list[Path]:
    """Of the run in `folder`, oldest first. What was not finished has another name."""
    found = [
        (int(match[1]), path)
        for path in (folder / _FOLDER).glob("checkpoint-*")
        if (match := _NAME.fullmatch(path.name))
    ]
    return [path for _, path in sorted(found)]


class _Kept:
    """A Watcher with a folder of checkpoints."""

    def __init__(
        self, run: PreparedRun, hear: Callable[[News], None], stopping: Callable[[], bool]
    ) -> None:
        self._run = run.settings.folder
        self._most = run.settings.checkpoints_kept
        self._fingerprint = dict(run.plan.fingerprint)
        self._hear = hear
        self._stopping = stopping

    def tell(self, news: News) -> None:
        """Pass it on."""
        self._hear(news)

    def stop_wanted(self) -> bool:
        """As the caller says."""
        return self._stopping()

    def checkpoint(self, loop: TrainingLoop) -> None:
        """Write one, unless it is there, and drop the oldest beyond those that are kept."""
        place = self._run / _FOLDER / f"checkpoint-{loop.state.step}"
        if not place.exists():
            write_checkpoint(loop, place, self._fingerprint)
        for old in kept_checkpoints(self._run)[: -self._most]:
            shutil.rmtree(old)

    def last(self) -> Path | None:
        """The latest whole one."""
        return next(reversed(kept_checkpoints(self._run)), None)
