"""What the model worked on when its process died, noted where the next process finds it.

A text may end the process (memory, a fault in native code), and nobody hears which one it was. So
digests of the texts of each pass are written to a file and taken out afterwards. What still stands
in the file of a process that is gone was there when it died. Nothing is forced to the disk: a write
outlives its process, not its machine.
"""

import fcntl
import json
import os
import threading
import time
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from pathlib import Path
from typing import Final
from uuid import uuid4

from cluster.private_folder import make_private_folder

__all__ = ["DEADLY", "Journal"]

DEADLY: Final = 2
"""Deaths of the process while it worked on nothing but a text: once may be somebody's kill."""
_KEPT_S: Final = 3600.0
"""So long a death is held against the texts that were there."""
_MOST: Final = 4096
"""Texts that deaths are held against; the newest."""
_RECORD: Final = "deaths.json"
_LOCK: Final = "lock"


@dataclass(frozen=True, slots=True)
class _Deaths:
    """How often a text was there: among others, and alone; and when last, in Unix seconds."""

    together: int
    alone: int
    at: float


class Journal:
    """The journal of one process in a folder that it shares with those before and beside it.

    May be used by several threads.
    """

    def __init__(self, folder: Path, *, clock: Callable[[], float] = time.time) -> None:
        """Read what those that died left. Raises OSError where the folder cannot be written."""
        self._folder: Final = folder
        self._clock: Final = clock
        self._guard: Final = threading.Lock()
        self._passes: Final[dict[int, tuple[bool, list[str]]]] = {}
        self._begun = 0
        make_private_folder(folder)
        with self._folder_lock():
            self._known = self._collect()
            path = folder / f"running-{uuid4().hex}"
            self._file: Final = os.open(path, os.O_CREAT | os.O_RDWR, 0o600)
            fcntl.flock(self._file, fcntl.LOCK_EX)  # the kernel frees it when this process is gone

    def deaths_alone(self, digest: str) -> int | None:
        """How often the process died of this text alone; None: it was never there."""
        with self._guard:
            known = self._known.get(digest)
        if known is None or not self._counts(known):
            return None
        return known.alone

    @contextmanager
    def running(self, digests: Sequence[str], *, alone: bool) -> Iterator[None]:
        """The model works on these texts; `alone`: and on nothing else."""
        with self._guard:
            self._begun += 1
            number = self._begun
            self._passes[number] = (alone, list(digests))
            self._write()
        try:
            yield
        finally:
            with self._guard:
                del self._passes[number]
                self._write()

    def acquit(self, digest: str) -> None:
        """The text did the process no harm, alone."""
        with self._guard:
            known = self._known.pop(digest, None)
        if known is None or not known.alone:
            return  # to have been among others says little, and is forgotten by itself
        with self._folder_lock():
            record = self._recorded()
            record.pop(digest, None)
            self._record(record)

    def close(self) -> None:
        """Leave nothing behind that would be taken for a death."""
        with self._guard:
            os.ftruncate(self._file, 0)
            os.close(self._file)

    def _write(self) -> None:
        body = json.dumps(list(self._passes.values())).encode()
        os.pwrite(self._file, b"%08d" % len(body) + body, 0)

    def _collect(self) -> dict[str, _Deaths]:
        """The record, with the deaths that are not in it yet."""
        record = {
            digest: known for digest, known in self._recorded().items() if self._counts(known)
        }
        for path in self._folder.glob("running-*"):
            for alone, digests in _left_in(path):
                for digest in digests:
                    known = record.pop(digest, _Deaths(0, 0, 0.0))
                    record[digest] = _Deaths(
                        known.together + (not alone), known.alone + alone, self._clock()
                    )
        newest = sorted(record, key=lambda digest: record[digest].at)[-_MOST:]
        record = {digest: record[digest] for digest in newest}
        self._record(record)
        return record

    def _recorded(self) -> dict[str, _Deaths]:
        try:
            loaded = json.loads((self._folder / _RECORD).read_bytes())
            return {digest: _Deaths(*counted) for digest, counted in loaded.items()}
        except (FileNotFoundError, ValueError, TypeError, AttributeError):
            return {}  # half a file, after the machine died: no reason to start without vectors

    def _record(self, record: dict[str, _Deaths]) -> None:
        body = {digest: [one.together, one.alone, one.at] for digest, one in record.items()}
        path = self._folder / _RECORD
        new = path.with_suffix(".new")
        new.write_text(json.dumps(body))
        new.replace(path)

    def _counts(self, known: _Deaths) -> bool:
        return abs(self._clock() - known.at) < _KEPT_S

    @contextmanager
    def _folder_lock(self) -> Iterator[None]:
        with (self._folder / _LOCK).open("a") as file:
            fcntl.flock(file, fcntl.LOCK_EX)
            yield


def _left_in(path: Path) -> list[tuple[bool, list[str]]]:
    """The passes of a process that is gone, whose file goes too; nothing of one that runs."""
    with suppress(FileNotFoundError), path.open("rb") as file:
        try:
            fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return []
        data = file.read()
        path.unlink()
        with suppress(ValueError, TypeError):
            return [
                (bool(a), [str(d) for d in ds]) for a, ds in json.loads(data[8 : 8 + int(data[:8])])
            ]
    return []
