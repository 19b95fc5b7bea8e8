"""Has Milvus Lite open a collection once, and write to it one call after the other.

Milvus Lite 3.2 answers from a pool of threads, and neither opens nor writes under a lock. The first
two calls after a start each open the collection, and one truncates the log that the other has just
written to: a passage that was acknowledged is gone. Two writes at once may begin the same log.
"""

import functools
import threading
from collections.abc import Callable
from typing import Any, Final

__all__ = ["install"]

_OPENING: Final = ("get_collection", "create_collection", "drop_collection")
_WRITING: Final = ("insert", "upsert", "delete", "flush", "create_partition", "drop_partition")


def install() -> bool:
    """Put locks around what opens and what writes. False where Milvus Lite is built otherwise."""
    from milvus_lite.db import MilvusLite
    from milvus_lite.engine.collection import Collection

    if not all(hasattr(MilvusLite, name) for name in _OPENING):
        return False
    if not all(hasattr(Collection, name) for name in _WRITING):
        return False
    opening, writing = threading.RLock(), threading.RLock()
    for name in _OPENING:
        setattr(MilvusLite, name, _under(opening, getattr(MilvusLite, name)))
    for name in _WRITING:
        setattr(Collection, name, _under(writing, getattr(Collection, name)))
    return True


def _under(lock: Any, call: Callable[..., Any]) -> Callable[..., Any]:
    @functools.wraps(call)
    def locked(*args: Any, **kwargs: Any) -> Any:
        with lock:
            return call(*args, **kwargs)

    return locked
