"""Folders for scratch files that outlive nobody for long, however their owner ends.

Whoever makes one holds a lock on it, which the kernel frees when the process dies (`flock(2)`). One
that nobody holds is a leftover: the next that is made with the same prefix removes it first.
"""

import fcntl
import os
import shutil
import tempfile
from contextlib import suppress
from itertools import islice
from pathlib import Path
from typing import Final, Self

__all__ = ["ScratchFolder"]

_TRIES: Final = 10
"""To make one: another's clearing may take a new folder for a leftover before it is locked."""
_MOST_LOOKED_AT: Final = 256


class ScratchFolder:
    """A folder where the system keeps temporary files, for its owner only (0700), until closed.

    `prefix` says whose leftovers are removed first; it holds no character that `glob` reads.
    Raises OSError.
    """

    def __init__(self, prefix: str) -> None:
        _remove_leftovers(prefix)
        self.path, self._lock = _make(prefix)
        self._closed = False

    def close(self) -> None:
        """Remove it with all that it holds."""
        if not self._closed:
            self._closed = True
            shutil.rmtree(self.path, ignore_errors=True)
            os.close(self._lock)

    def __enter__(self) -> Self:
        return self

    def __exit__(self, *_: object) -> None:
        self.close()


def _make(prefix: str) -> tuple[Path, int]:
    for _ in range(_TRIES):
        path = Path(tempfile.mkdtemp(prefix=prefix))
        if (lock := _lock(path)) is not None:
            return path, lock
    raise OSError(f"{tempfile.gettempdir()} keeps no folder: {_TRIES} were removed at once")


def _remove_leftovers(prefix: str) -> None:
    found = Path(tempfile.gettempdir()).glob(f"{prefix}*")
    for path in islice(found, _MOST_LOOKED_AT):
        if (lock := _lock(path)) is not None:
            shutil.rmtree(path, ignore_errors=True)  # what others own stays
            os.close(lock)


def _lock(path: Path) -> int | None:
    """Take the folder; None where another has it, it is gone, or it is not for this user to open.

    The descriptor is closed in programs that this process starts, so that they do not hold it.
    """
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_DIRECTORY | os.O_NOFOLLOW)
    except OSError:
        return None
    taken = False
    try:
        with suppress(BlockingIOError, FileNotFoundError):
            fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
            taken = os.path.samestat(os.fstat(descriptor), path.lstat())
    finally:
        if not taken:
            os.close(descriptor)
    return descriptor if taken else None
