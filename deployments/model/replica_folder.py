"""A folder that one running replica owns; what dead ones left behind is removed.

The owner holds a lock on a file beside its folder for as long as it lives: the kernel lets go of it
however the process ends. So a folder whose lock can be taken belongs to nobody.
"""

import shutil
from pathlib import Path
from typing import Final

from filelock import FileLock, Timeout

from cluster.ids import new_id

__all__ = ["ReplicaFolder"]

_LOCK: Final = ".lock"


class ReplicaFolder:
    """A new, empty folder under `parent`. Making one removes those of dead replicas."""

    def __init__(self, parent: Path) -> None:
        parent.mkdir(parents=True, exist_ok=True)
        for lock in parent.glob(f"*{_LOCK}"):
            _remove_if_dead(lock)
        self.path = parent / new_id("replica")
        # The lock comes first: a folder without one would look like a dead replica's.
        self._lock = FileLock(self.path.with_suffix(_LOCK))
        self._lock.acquire(blocking=False)
        self.path.mkdir()

    def close(self) -> None:
        """Remove the folder."""
        shutil.rmtree(self.path, ignore_errors=True)
        Path(self._lock.lock_file).unlink(missing_ok=True)
        self._lock.release()


def _remove_if_dead(file: Path) -> None:
    lock = FileLock(file)
    try:
        lock.acquire(blocking=False)
    except Timeout:
        return
    try:
        shutil.rmtree(file.with_suffix(""), ignore_errors=True)
        file.unlink(missing_ok=True)
    finally:
        lock.release()
