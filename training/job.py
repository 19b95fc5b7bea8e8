"""A training run as one command.

    python -m training.job --config job.yaml [--json]
    ray job submit -- python -m training.job --config job.yaml

Everything that can be wrong with settings, model and data is said before the cluster is asked. The
first Ctrl-C ends the run with a checkpoint; the same command goes on from there. In `output/name`:

    adapter/        what was trained, in peft's format (`model/` where all weights were)
    receipt.json    what curation did to the data, where it is on
    report.json     what it was trained on and with, and what came out;  report.html  to read
    metrics.jsonl   a line per step and validation;  tensorboard/  the same, drawn
    checkpoint…     where the run goes on

Exit status: 0 trained, 1 the training failed, 2 it could not begin, 130 interrupted.
"""

import argparse
import json
import os
import signal
import sys
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

from cluster.errors import EverloopError
from cluster.settings import Settings, load_settings
from training.checkpoint import export_checkpoint
from training.errors import PlanError
from training.in_process import train_in_process
from training.on_cluster import shortage, train_on_cluster
from training.preflight import PreparedRun, prepare_run
from training.progress import News, Outcome
from training.recording import Recorder
from training.report import RunReport
from training.report_page import write_page
from training.settings import read_settings
from training.terminal import Terminal

__all__ = ["main", "run_job"]

_FAILED: Final = 1
_CANNOT_BEGIN: Final = 2
_INTERRUPTED: Final = 130


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the module's docstring lists the exit statuses."""
    parser = argparse.ArgumentParser(
        prog="training.job",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--config", required=True, type=Path, help="YAML file of the run")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args(arguments)
    terminal = Terminal()
    stop = threading.Event()
    try:
        settings, here = read_settings(options.config), load_settings()
        run = prepare_run(
            settings, here.cache_dir, say=terminal.say, connect=lambda: _connect(here)
        )
        if settings.workers.max:
            _connect(here)
    except EverloopError as error:
        print(error, file=sys.stderr)
        return _CANNOT_BEGIN
    except KeyboardInterrupt:
        return _INTERRUPTED
    try:
        with _interrupts(stop, terminal.say):
            report = run_job(run, terminal, stop.is_set)
    except EverloopError as error:
        print(error, file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        print("Interrupted twice: the last checkpoint stands, and no more.", file=sys.stderr)
        return _INTERRUPTED
    print(json.dumps(report.document, indent=1) if options.json else report.text)
    return _INTERRUPTED if report.outcome.ending == "stopped" else 0


def run_job(
    run: PreparedRun, terminal: Terminal, stopping: Callable[[], bool] = lambda: False
) -> RunReport:
    """Train, export and report. Raises TrainingError; checkpoints written by then stand."""
    settings = run.settings
    started = time.monotonic()
    terminal.say(_plan(run))
    if run.receipt is not None:
        settings.folder.mkdir(parents=True, exist_ok=True)
        (settings.folder / "receipt.json").write_text(run.receipt.json, encoding="utf-8")
    if settings.workers.max and (lacking := shortage(run)) is not None:
        terminal.say(lacking)
    with Recorder(settings.folder) as recorder, terminal.progress(run.steps):
        report = RunReport(run)

        def hear(news: News) -> None:
            recorder.add(news)
            report.add(news)
            terminal.show(news)

        train: Callable[..., Outcome] = (
            train_on_cluster if settings.workers.max else train_in_process
        )
        report.outcome = train(run, hear, stopping)
    target = settings.folder / ("model" if settings.adapter.kind == "full" else "adapter")
    export_checkpoint(
        report.outcome.checkpoint, target, base=settings.model, base_folder=run.model_folder
    )
    report.finish(target, time.monotonic() - started)
    path = settings.folder / "report.json"
    path.write_text(json.dumps(report.document, indent=1) + "\n")
    write_page(settings.folder, report.document)
    return report


def _plan(run: PreparedRun) -> str:
    counts, settings = run.counts, run.settings
    words = [] if run.receipt is None else [f"curated: {run.receipt.outcome}"]
    words += [
        f"{settings.name}: {len(run.train)} samples to train on, {len(run.validation)} to validate",
        f"{counts.tokens} tokens, {counts.trained_tokens} of them with loss",
        f"{run.steps} steps",
        f"{settings.adapter.kind} on {run.modules} modules",
    ]
    if counts.truncated:
        words.append(f"{counts.truncated} cut at {settings.batch.max_tokens} tokens")
    if counts.without_loss:
        words.append(f"{counts.without_loss} left out, having no token to train on")
    return "; ".join(words)


def _connect(settings: Settings) -> None:
    """Join the cluster: that of `ray job submit`, else the one that the settings name."""
    import ray

    if ray.is_initialized():
        return
    address = settings.ray.address or f"127.0.0.1:{settings.ray.port}"
    options: dict[str, Any] = {"log_to_driver": False, "logging_level": "ERROR"}
    try:
        # `ray job submit` sets RAY_ADDRESS, which an address of None follows.
        ray.init(address=None if "RAY_ADDRESS" in os.environ else address, **options)
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise PlanError(
            f"The Ray cluster at {address} cannot be joined: {error}",
            fix="Start `everloop up`, or set `workers: {min: 0, max: 0}` to train in this process.",
        ) from error


@contextmanager
def _interrupts(stop: threading.Event, say: Callable[[str], None]) -> Iterator[None]:
    """The first SIGINT or SIGTERM sets `stop`, the next one raises KeyboardInterrupt."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        if stop.is_set():
            raise KeyboardInterrupt
        stop.set()
        say("stopping: a checkpoint will be written; once more to stop without one")

    before = {number: signal.signal(number, handle) for number in (signal.SIGINT, signal.SIGTERM)}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)


if __name__ == "__main__":
    sys.exit(main())
