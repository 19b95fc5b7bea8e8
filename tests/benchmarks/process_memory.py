"""How much memory each process of a running system has, and how much that has grown."""

import re
import statistics
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final

import psutil

from cluster.launch.processes import cluster_id, marked_processes

__all__ = ["Growth", "Process", "Sample", "growths", "sample", "shown_name"]

MINUTE_S: Final = 60.0
_STATUS_KEYS: Final = ("RssAnon:", "RssFile:")
"""Without RssShmem: the object store is shared, and Ray gives it a size of its own."""


@dataclass(frozen=True, slots=True)
class Process:
    """One process; the time of its start tells it from a later one of the same number."""

    name: str = field(compare=False)
    """Ray changes its titles."""
    pid: int
    started: float


@dataclass(frozen=True, slots=True)
class Sample:
    """All processes at one moment."""

    at_s: float
    """Since the beginning."""
    kib: Mapping[Process, int]
    """Resident memory without shared memory."""


@dataclass(frozen=True, slots=True)
class Growth:
    """One process, by the medians of a minute each. None where it did not run then."""

    process: Process
    before_kib: float | None
    after_kib: float | None

    @property
    def percent(self) -> float | None:
        """By how much it grew; None of a process that did not run all the time."""
        if self.before_kib is None or self.after_kib is None:
            return None
        return 100 * (self.after_kib / self.before_kib - 1)


def sample(data_dir: Path, at_s: float) -> Sample:
    """Look at every process of the Everloop of `data_dir`."""
    found: dict[Process, int] = {}
    for process in marked_processes(cluster_id(data_dir)):
        try:
            name = shown_name(process.cmdline())
            kib = _resident_kib(Path(f"/proc/{process.pid}/status").read_text())
            found[Process(name, process.pid, process.create_time())] = kib
        except (OSError, psutil.Error):
            continue  # it ended meanwhile
    return Sample(at_s, found)


def growths(samples: Sequence[Sample], before_s: float) -> list[Growth]:
    """Of each process, its memory in the minute from `before_s` on and in the last minute.

    By name. Processes that ran in neither minute are left out.
    """
    end_s = samples[-1].at_s
    before = [one for one in samples if before_s <= one.at_s < before_s + MINUTE_S]
    after = [one for one in samples if one.at_s > end_s - MINUTE_S]
    processes = {process for one in (*before, *after) for process in one.kib}
    return [
        Growth(process, _median(before, process), _median(after, process))
        for process in sorted(processes, key=lambda each: (each.name, each.started))
    ]


def shown_name(command: Sequence[str]) -> str:
    """A short name: a Ray process's title, a module, or a program and its script."""
    if not command:
        return "?"
    if "::" in command[0]:
        return re.split(r"[.(]", command[0])[0].strip()  # without the call that runs now
    if "-m" in command:
        return command[command.index("-m") + 1]
    program = command[0].partition(" (")[0]  # a title that was set tells the old command behind it
    scripts = [Path(word).name for word in command[1:3] if word.endswith(".py")]
    return " ".join([Path(program).name, *scripts])


def _resident_kib(status: str) -> int:
    rows = (line.split() for line in status.splitlines())
    return sum(int(row[1]) for row in rows if row and row[0] in _STATUS_KEYS)


def _median(samples: Iterable[Sample], process: Process) -> float | None:
    found = [one.kib[process] for one in samples if process in one.kib]
    return statistics.median(found) if found else None
