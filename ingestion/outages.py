"""Waiting for a part that is down for a moment: Milvus after kill -9, an Embedder that restarts."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable
from dataclasses import dataclass
from typing import Final, TypeVar

from ingestion.errors import IngestionError

__all__ = ["Patience", "StillDownError"]

T = TypeVar("T")
_log = logging.getLogger(__name__)
_FIRST_PAUSE_S: Final = 0.1
_LONGEST_PAUSE_S: Final = 5.0


class StillDownError(IngestionError):
    """A part did not come back in time."""


@dataclass(frozen=True, slots=True)
class Patience:
    """Tries again while the errors are `outages`, with pauses that double, for `limit_s` at most.

    The first try that starts after `limit_s` is the last; then StillDownError.
    """

    outages: tuple[type[Exception], ...]
    limit_s: float = 600.0
    clock: Callable[[], float] = time.monotonic
    sleep: Callable[[float], Awaitable[None]] = asyncio.sleep

    async def call(self, what: str, attempt: Callable[[], Awaitable[T]]) -> T:
        """Return the result of `attempt()`; `what` names it in the log and in the error."""
        started = self.clock()
        pause = _FIRST_PAUSE_S
        while True:
            last = self.clock() - started >= self.limit_s
            try:
                return await attempt()
            except self.outages as error:
                if last:
                    raise StillDownError(
                        f"{what}: no success within {self.limit_s:g} s.",
                        fix="`everloop doctor` says which part does not answer.",
                    ) from error
                _log.warning("%s will be tried again in %.1f s: %s", what, pause, error)
            await self.sleep(pause)
            pause = min(2 * pause, _LONGEST_PAUSE_S)
