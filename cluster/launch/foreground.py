"""Staying in the foreground, as a container's one program does."""

import signal
from collections.abc import Iterator
from contextlib import contextmanager
from types import FrameType

import psutil

from cluster.launch.run_record import read_record
from cluster.settings import Settings

__all__ = ["await_end", "interrupted_by_sigterm"]


@contextmanager
def interrupted_by_sigterm() -> Iterator[None]:
    """Within the block SIGTERM raises KeyboardInterrupt, as Ctrl-C does."""

    def interrupt(_number: int, _frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    before = signal.signal(signal.SIGTERM, interrupt)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def await_end(settings: Settings) -> None:
    """Return once the Ray head that `up` started has ended; never where Ray is not ours."""
    if settings.ray.address is not None:
        while True:
            signal.pause()
    record = read_record(settings.data_dir)
    if record is not None and record.alive:
        psutil.Process(record.pid).wait()
