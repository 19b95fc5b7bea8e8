"""Telling the Ingestor that rows changed. The records are right already; it may come later."""

import logging
from collections.abc import Sequence

from deployments.errors import RequestError
from deployments.ports import DocumentQueue

__all__ = ["purge_soon", "wake"]

_log = logging.getLogger(__name__)


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


async def wake(ingestor: DocumentQueue) -> None:
    """Let the Ingestor look for work; one that is starting looks by itself."""
    try:
        await ingestor.wake()
    except RequestError as error:
        _log.warning("Queued files wait for the Ingestor: %s", error)
