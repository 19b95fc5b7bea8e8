"""Keeps Milvus Lite from losing writes that it acknowledged.

Milvus Lite 3.2 answers from a pool of threads, and neither opens nor writes under a lock. The first
two calls after a start each open the collection, and one truncates the log that the other has just
written to. Two writes at once may begin the same log. Here a collection is opened once, and written
to by one call after the other.

Where a disk is full, half a record stays in the log: what is written behind it, once there is
room, cannot be read after a restart. Here the half is taken out again. A flush that finds no room
half way leaves rows that nobody sees, and the next one removes their log. Here it does not begin
without room; one that fails all the same ends the process, which begins anew from its whole log.
"""

import contextlib
import errno
import functools
import logging
import os
import shutil
import threading
from collections.abc import Callable
from pathlib import Path
from typing import Any, Final

__all__ = ["install"]

_log = logging.getLogger(__name__)
_OPENING: Final = ("get_collection", "create_collection", "drop_collection")
_WRITING: Final = ("insert", "upsert", "delete", "flush", "create_partition", "drop_partition")
_LOGS: Final = {"insert": "data", "delete": "delta"}
"""What is written, and the log of a pair that it goes to."""
_SPARE_BYTES: Final = 16 << 20
"""Free after a flush, for its manifest and indexes."""
_FLUSH_FAILED: Final = 3
"""Exit status."""


def install() -> bool:
    """Change Milvus Lite in this process, for good. False where it is built otherwise."""
    from milvus_lite.db import MilvusLite
    from milvus_lite.engine.collection import Collection
    from milvus_lite.storage.wal import WAL

    wanted = [(MilvusLite, name) for name in _OPENING]
    wanted += [(Collection, name) for name in (*_WRITING, "_trigger_flush")]
    wanted += [(WAL, f"write_{operation}") for operation in _LOGS]
    if not all(hasattr(owner, name) for owner, name in wanted):
        return False
    opening, writing = threading.RLock(), threading.RLock()
    for name in _OPENING:
        setattr(MilvusLite, name, _under(opening, getattr(MilvusLite, name)))
    for name in _WRITING:
        setattr(Collection, name, _under(writing, getattr(Collection, name)))
    for operation, log in _LOGS.items():
        name = f"write_{operation}"
        setattr(WAL, name, _whole_or_not(getattr(WAL, name), log))
    Collection._trigger_flush = _flushed_or_ended(Collection._trigger_flush)
    return True


def _under(lock: Any, call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def locked(*args: Any, **kwargs: Any) -> Any:
        with lock:
            return call(*args, **kwargs)

    return locked


def _whole_or_not(write: Callable[..., None], log: str) -> Callable[..., None]:
    @functools.wraps(write)
    def whole_or_not(wal: Any, batch: Any) -> None:
        kept = getattr(wal, f"_{log}_size_bytes")
        try:
            write(wal, batch)
        except Exception:
            _give_up(wal, log, kept)
            raise

    return whole_or_not


def _give_up(wal: Any, log: str, kept: int) -> None:
    """Cut a log behind its last whole record; what comes next goes to a pair of its own.

    What Python still buffers of the half record must not follow: the file is closed under it.
    """
    sink = getattr(wal, f"_{log}_sink")
    if sink is None:  # it could not even be opened
        return
    path = Path(sink.name)
    with contextlib.suppress(OSError, ValueError):
        sink.raw.close()
    setattr(wal, f"_{log}_writer", None)
    setattr(wal, f"_{log}_sink", None)
    setattr(wal, f"_{log}_size_bytes", 0)
    if kept:
        os.truncate(path, kept)
        wal._number += 1  # a flush removes all pairs up to its own number
    else:
        path.unlink()


def _flushed_or_ended(flush: Callable[[Any], None]) -> Callable[[Any], None]:
    @functools.wraps(flush)
    def flushed_or_ended(collection: Any) -> None:
        folder = collection._data_dir
        needed = 2 * (collection._recovered_wal_bytes + collection._wal.size_bytes) + _SPARE_BYTES
        free = shutil.disk_usage(folder).free
        if free < needed:
            raise OSError(errno.ENOSPC, f"A flush needs {needed} bytes; {free} are free", folder)
        try:
            flush(collection)
        except BaseException:  # noqa: BLE001 - whatever it was, the process ends
            _log.exception("A flush failed half way; the server begins anew from its log.")
            logging.shutdown()
            os._exit(_FLUSH_FAILED)

    return flushed_or_ended
