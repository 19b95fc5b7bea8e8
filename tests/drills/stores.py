"""What the system keeps its state in, taken away: database, byte store, disk."""

import contextlib
import os
import signal
import sqlite3
import time
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any, Final, cast, get_args

import psutil

from tests.drills.doorway import Way
from tests.drills.drill import Hit
from tests.drills.scene import Scene

__all__ = ["BadWayToBytes", "DeadPostgres", "FullDisk", "LockedDatabase"]

_LOCK_S: Final = (1.0, 25.0)
"""Around the ten seconds that SQLite waits for a lock by itself."""
_OUTAGE_S: Final = (1.0, 15.0)
_DELAY_S: Final = (0.2, 3.0)
_START_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class LockedDatabase:
    """Another program holds SQLite's lock for writing."""

    name: str = "SQLite locked by another writer"
    bound_s: float = 60.0
    every: int = 1

    def missing(self, scene: Scene) -> str:
        """See Drill."""
        return "" if _sqlite_file(scene).is_file() else "the records are not SQLite's"

    def strike(self, scene: Scene, random: Random) -> Hit:
        """See Drill."""
        seconds = random.uniform(*_LOCK_S)
        connection = sqlite3.connect(
            _sqlite_file(scene), timeout=30, isolation_level=None, check_same_thread=False
        )
        connection.execute("BEGIN IMMEDIATE")
        return Hit(f"for {seconds:.1f} s", scene.ingesting(), connection.close, seconds)


@dataclass(frozen=True, slots=True)
class DeadPostgres:
    """PostgreSQL loses a backend, or is killed and stays away for seconds."""

    name: str = "kill -9: PostgreSQL"
    bound_s: float = 90.0
    every: int = 1

    def missing(self, scene: Scene) -> str:
        """See Drill."""
        return "" if scene.surroundings.postgres is not None else "the records are not PostgreSQL's"

    def strike(self, scene: Scene, random: Random) -> Hit:
        """See Drill."""
        server = scene.surroundings.postgres
        probe = scene.ingesting()
        postmaster = psutil.Process(server.get_pid())
        backends = [
            child for child in postmaster.children() if "postgres" in " ".join(child.cmdline())
        ]
        if random.random() < 0.5:
            victim = random.choice([one for one in backends if _is_session(one)] or backends)
            os.kill(victim.pid, signal.SIGKILL)  # PostgreSQL then restarts every session
            return Hit("one session", probe)
        seconds = random.uniform(*_OUTAGE_S)
        os.kill(postmaster.pid, signal.SIGKILL)
        gone = [postmaster, *backends]
        return Hit(
            f"the server, for {seconds:.1f} s", probe, lambda: _started(server, gone), seconds
        )


@dataclass(frozen=True, slots=True)
class BadWayToBytes:
    """The byte store is slow, refuses connections, or takes them and says nothing."""

    name: str = "byte store slow, shut or silent"
    bound_s: float = 120.0
    every: int = 1

    def missing(self, scene: Scene) -> str:
        """See Drill."""
        return "" if scene.surroundings.doorway is not None else "the bytes are in a folder"

    def strike(self, scene: Scene, random: Random) -> Hit:
        """See Drill."""
        doorway = scene.surroundings.doorway
        assert doorway is not None
        way = cast(Way, random.choice(get_args(Way)[1:]))
        seconds, delay_s = random.uniform(*_OUTAGE_S), random.uniform(*_DELAY_S)
        doorway.become(way, delay_s)
        told = f"{way} ({delay_s:.1f} s a piece)" if way == "slow" else way
        return Hit(
            f"{told} for {seconds:.1f} s",
            scene.ingesting(),
            lambda: doorway.become("open"),
            seconds,
        )


@dataclass(frozen=True, slots=True)
class FullDisk:
    """Nothing can be written below the data folder: ENOSPC."""

    name: str = "full disk"
    bound_s: float = 90.0
    every: int = 1

    def missing(self, scene: Scene) -> str:
        """See Drill."""
        small = scene.surroundings.disk is not None
        return "" if small else "no disk of its own: this user may not mount one, or not our system"

    def strike(self, scene: Scene, random: Random) -> Hit:
        """See Drill."""
        disk = scene.surroundings.disk
        assert disk is not None
        seconds = random.uniform(*_OUTAGE_S)
        balloon = disk.folder / "balloon"
        _fill(balloon)
        return Hit(
            f"for {seconds:.1f} s",
            scene.ingesting(),
            lambda: balloon.unlink(missing_ok=True),
            seconds,
        )


def _sqlite_file(scene: Scene) -> Path:
    return scene.data_dir / "everloop.db"


def _is_session(process: psutil.Process) -> bool:
    """Whether it serves a client; PostgreSQL's own workers have other titles."""
    title = " ".join(process.cmdline())
    return "[local]" in title


def _started(server: Any, gone: list[psutil.Process]) -> None:
    """Start it, unless it runs. Sessions of the killed one must have ended first."""
    psutil.wait_procs(gone, timeout=_START_S)
    server.ensure_postgres_running()


def _fill(balloon: Path) -> None:
    """Take the last byte: in large pieces first, then in small ones."""
    deadline = time.monotonic() + _START_S
    with balloon.open("wb", buffering=0) as file:
        for piece in (1 << 24, 1 << 16, 1 << 12):
            with contextlib.suppress(OSError):
                while time.monotonic() < deadline:
                    file.write(bytes(piece))
