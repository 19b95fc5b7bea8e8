"""Which processes belong to this Everloop, and how to end them.

Everything that `up` starts inherits `EVERLOOP_CLUSTER_ID`, a name that follows from the data
folder. It stays readable in a process's initial environment, so a process is known by what it is
and not by a number that may have been reused; and a start that was cut short can be cleaned up.
"""

import hashlib
import os
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Final

import psutil

__all__ = ["CLUSTER_ID", "cluster_id", "listener_on", "marked_processes", "stop_all"]

CLUSTER_ID: Final = "EVERLOOP_CLUSTER_ID"
_POLL_S: Final = 0.1
_ORPHANS_GRACE_S: Final = 3.0


def cluster_id(data_dir: Path) -> str:
    """Twelve characters that name the Everloop of this data folder."""
    return hashlib.sha256(os.fsencode(data_dir.absolute())).hexdigest()[:12]


def marked_processes(identity: str) -> list[psutil.Process]:
    """Return every process of this user that was started for the Everloop `identity`.

    The caller and its ancestors are never among them.
    """
    mark = f"{CLUSTER_ID}={identity}".encode()
    kin = {os.getpid()} | {parent.pid for parent in psutil.Process().parents()}
    found = []
    for process in psutil.process_iter():
        if process.pid in kin:
            continue
        try:
            environment = Path(f"/proc/{process.pid}/environ").read_bytes()
            if mark in environment.split(b"\0") and process.status() != psutil.STATUS_ZOMBIE:
                found.append(process)
        except (OSError, psutil.Error):
            continue  # ended meanwhile, or another user's
    return found


def stop_all(identity: str, *, first: Iterable[int] = (), grace_s: float = 6.0) -> int:
    """End every process of the Everloop `identity` and return how many there were.

    `first` get SIGTERM and `grace_s` to end their children in order; what is left is asked, and
    soon killed: orphans of a crash often cannot end by themselves. Harmless when nothing runs.
    """
    seen = {process.pid for process in marked_processes(identity)}
    leaders = [process for process in marked_processes(identity) if process.pid in set(first)]
    for process in leaders:
        _terminate(process)
    psutil.wait_procs(leaders, timeout=grace_s)
    for process in (rest := marked_processes(identity)):
        _terminate(process)
    seen |= {process.pid for process in rest}
    _wait_until_gone(identity, min(grace_s, _ORPHANS_GRACE_S))
    for _attempt in range(5):  # a dying parent may have started one more
        if not (rest := marked_processes(identity)):
            break
        for process in rest:
            _kill(process)
        psutil.wait_procs(rest, timeout=grace_s)
    return len(seen)


def listener_on(port: int) -> str | None:
    """Say who listens on a TCP port of this machine (`python (pid 4711)`), or None when free."""
    for connection in psutil.net_connections(kind="tcp"):
        if connection.status != psutil.CONN_LISTEN or not connection.laddr:
            continue
        if connection.laddr.port == port:
            if connection.pid is None:
                return "another user's process"
            try:
                return f"{psutil.Process(connection.pid).name()} (pid {connection.pid})"
            except psutil.Error:
                return f"pid {connection.pid}"
    return None


def _wait_until_gone(identity: str, seconds: float) -> None:
    deadline = time.monotonic() + seconds
    while time.monotonic() < deadline and marked_processes(identity):
        time.sleep(_POLL_S)


def _terminate(process: psutil.Process) -> None:
    try:
        process.terminate()
    except psutil.NoSuchProcess:
        return


def _kill(process: psutil.Process) -> None:
    try:
        process.kill()
    except psutil.NoSuchProcess:
        return
