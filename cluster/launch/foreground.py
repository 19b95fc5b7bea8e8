"""Staying in the foreground, as a container's one program does, and a service manager's."""

import contextlib
import signal
import time
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from types import FrameType
from typing import Final

import psutil

from cluster.http2_greeting import greeting
from cluster.launch.processes import cluster_id, marked_processes
from cluster.launch.run_record import read_record
from cluster.settings import Settings

__all__ = ["await_end", "interrupted_by_sigterm", "silent"]

_PARTS: Final = frozenset({"raylet", "gcs_server"})
_LOOK_S: Final = 5.0
_REACTION_S: Final = 2.0
_SILENT_S: Final = 30.0


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


def await_end(settings: Settings) -> str:
    """Return why the Ray head that `up` started is of no use any more, once it is not.

    It has ended, or a part of it that nothing else watches has not reacted for half a minute. It
    never returns where Ray is not ours.
    """
    if settings.ray.address is not None:
        while True:
            signal.pause()
    record = read_record(settings.data_dir)
    heard = time.monotonic()
    while record is not None and record.alive:
        with contextlib.suppress(psutil.TimeoutExpired, psutil.NoSuchProcess):
            psutil.Process(record.pid).wait(_LOOK_S)
            break
        parts = marked_processes(cluster_id(settings.data_dir))
        if not (still := silent(part for part in parts if _name(part) in _PARTS)):
            heard = time.monotonic()
        elif time.monotonic() - heard > _SILENT_S:
            return f"Ray's {' and '.join(still)} reacted to nobody for {_SILENT_S:.0f} s."
    return "Ray ended by itself."


def silent(processes: Iterable[psutil.Process]) -> list[str]:
    """Name those that listen on TCP and react to nobody who connects, in a few seconds.

    Any reaction will do, also that of TLS to who does not speak it: a stopped process has none.
    """
    return [
        f"{_name(process)} (pid {process.pid})"
        for process in processes
        if (ports := _listening(process)) and not any(map(_reacts, ports))
    ]


def _name(process: psutil.Process) -> str:
    try:
        return process.name()
    except psutil.Error:
        return ""


def _listening(process: psutil.Process) -> list[tuple[str, int]]:
    try:
        connections = process.net_connections("tcp")
    except psutil.Error:
        return []
    return [
        (connection.laddr.ip, connection.laddr.port)
        for connection in connections
        if connection.status == psutil.CONN_LISTEN and connection.laddr
    ]


def _reacts(address: tuple[str, int]) -> bool:
    try:
        greeting(address, _REACTION_S)
    except TimeoutError:
        return False
    except OSError:
        return True
    return True
