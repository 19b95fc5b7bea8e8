"""A training run as one command.

    python -m training.job --config job.yaml [--json]
    ray job submit -- python -m training.job --config job.yaml
    python -m training.job --queued ftjob-… --attempt 1    (how the Trainer starts a job)

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
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from types import FrameType
from typing import Any, Final

from cluster.errors import EverloopError
from cluster.handed_environment import take_over
from cluster.settings import Settings, load_settings
from cluster.tls import node_environment
from training.errors import PlanError
from training.preflight import prepare_run
from training.running import run_training
from training.settings import read_settings
from training.terminal import Terminal

__all__ = ["main"]

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
    what = parser.add_mutually_exclusive_group(required=True)
    what.add_argument("--config", type=Path, help="YAML file of the run")
    what.add_argument("--queued", metavar="ID", help="a fine-tuning job of the running service")
    parser.add_argument("--attempt", type=int, default=1, help="number of the job's attempt")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args(arguments)
    if options.queued is not None:
        return _run_queued(options.queued, options.attempt)
    return _run_config(options.config, as_json=options.json)


def _run_queued(job_id: str, attempt: int) -> int:
    from training.queue.jobs import run_queued_job

    try:
        take_over()
        settings = load_settings()
        status = run_queued_job(settings, job_id, attempt, lambda: _connect(settings))
    except EverloopError as error:
        print(error, file=sys.stderr)
        return _CANNOT_BEGIN
    print(f"{job_id} is {status}")
    return _FAILED if status == "failed" else 0


def _run_config(config: Path, *, as_json: bool) -> int:
    terminal = Terminal()
    stop = threading.Event()
    try:
        settings, here = read_settings(config), load_settings()
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
            report = run_training(run, terminal, stop.is_set)
    except EverloopError as error:
        print(error, file=sys.stderr)
        return _FAILED
    except KeyboardInterrupt:
        print("Interrupted twice: the last checkpoint stands, and no more.", file=sys.stderr)
        return _INTERRUPTED
    print(json.dumps(report.document, indent=1) if as_json else report.text)
    return _INTERRUPTED if report.outcome.ending == "stopped" else 0


def _connect(settings: Settings) -> None:
    """Join the cluster: that of `ray job submit`, else the one that the settings name."""
    os.environ.update(node_environment(settings.tls))
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
