"""What follows from changed rows: bytes go, the Ingestor and backups are told.

The records are right already.
"""

import asyncio
import logging
from collections.abc import Sequence
from typing import TYPE_CHECKING

from cluster.errors import StorageError
from deployments.deletion.notes import DeletionNotes
from deployments.errors import RequestError
from deployments.ports import DocumentQueue

if TYPE_CHECKING:
    from cluster.storage import ByteStore

__all__ = ["delete_bytes", "purge_soon", "tell_backups", "wake"]

_log = logging.getLogger(__name__)


def delete_bytes(storage: "ByteStore", key: str) -> None:
    """Delete the bytes of a record that is gone or was never made. Blocking; fails nobody."""
    try:
        storage.delete(key)
    except StorageError as error:
        _log.error("Bytes without a record are left in the store: %s", error)


async def purge_soon(ingestor: DocumentQueue, numbers: Sequence[int]) -> bool:
    """Delete passages now where the Ingestor answers; else its sweeper does it later. Whether now.

    They are invisible either way, because their rows are not live any more.
    """
    if not numbers:
        return True
    try:
        await ingestor.purge(numbers)
    except RequestError as error:
        _log.warning("%d document versions wait for the sweeper: %s", len(numbers), error)
        return False
    return True


async def tell_backups(note: DeletionNotes | None, kind: str, id_: str) -> None:
    """Have no restore bring it back. It is gone from the records: that alone fails nobody."""
    if note is None:
        return
    try:
        await asyncio.to_thread(note, kind, [id_])
    except StorageError as error:
        _log.error("A restore of an older backup would bring %s back: %s", id_, error)


async def wake(ingestor: DocumentQueue) -> None:
    """Let the Ingestor look for work; one that is starting looks by itself."""
    try:
        await ingestor.wake()
    except RequestError as error:
        _log.warning("Queued files wait for the Ingestor: %s", error)
