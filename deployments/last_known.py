"""What was read from the records last, for when they do not answer."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from cluster.errors import DatabaseError

__all__ = ["LastKnown"]

_log = logging.getLogger(__name__)
_KEPT: Final = 512
_PATIENCE_S: Final = 2.0
"""A healthy database answers sooner, beside a busy model too; a request that knows what was last
said waits no longer. Too short, and a moved alias would answer by its old target where the machine
is merely slow."""
_RETRY_S: Final = 1.0
"""Between two questions to a database that did not answer."""

Item = TypeVar("Item")


class LastKnown(Generic[Item]):
    """A bounded map over a reader: items count for `ttl_s`, then they are read anew.

    Where the database fails or takes too long, an item that was read less than `stale_s` ago goes
    on counting, and the database is asked in the background until it answers: once it has failed,
    nobody who can be served waits for it. All times in seconds.
    """

    def __init__(
        self,
        read: Callable[[str], Awaitable[Item | None]],
        *,
        ttl_s: float,
        stale_s: float,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._read: Final = read
        self._ttl_s: Final = ttl_s
        self._stale_s: Final = stale_s
        self._clock: Final = clock
        self._items: OrderedDict[str, tuple[float, Item]] = OrderedDict()
        self._reading: dict[str, asyncio.Task[Item | None]] = {}
        self._failed_at: float | None = None
        """When the database last did not answer; None while it does."""

    async def get(self, key: str) -> Item | None:
        """What `key` stands for; None where there is no such thing.

        Raises DatabaseError where nothing is known that is young enough.
        """
        found = self._items.get(key)
        age = self._clock() - found[0] if found is not None else self._stale_s
        if found is not None and age < self._ttl_s:
            return found[1]
        if found is None or age >= self._stale_s:
            return await asyncio.shield(self._asked(key))
        if self._failed_at is not None:
            if self._clock() - self._failed_at >= _RETRY_S:
                self._asked(key)
            return found[1]
        reading = self._asked(key)
        done, _ = await asyncio.wait({reading}, timeout=_PATIENCE_S)
        if not done:
            self._fail(key, "it has not answered yet")
            return found[1]
        if reading.cancelled() or reading.exception() is not None:
            return found[1]
        return reading.result()

    def drop(self, key: str) -> None:
        """Forget it, and what is being read of it."""
        self._items.pop(key, None)
        self._reading.pop(key, None)

    def _asked(self, key: str) -> "asyncio.Task[Item | None]":
        """The one reading of `key` that is under way."""
        reading = self._reading.get(key)
        if reading is None:
            reading = asyncio.get_running_loop().create_task(self._refresh(key))
            self._reading[key] = reading
            reading.add_done_callback(lambda done: self._end(key, done))
        return reading

    async def _refresh(self, key: str) -> Item | None:
        asked = self._clock()
        try:
            item = await self._read(key)
        except DatabaseError as error:
            self._fail(key, str(error))
            raise
        self._failed_at = None
        if self._reading.get(key) is not asyncio.current_task():
            return item  # dropped meanwhile: what was read may be from before
        if item is None:  # names that clients make up are not kept
            self._items.pop(key, None)
            return None
        self._items[key] = (asked, item)
        self._items.move_to_end(key)
        if len(self._items) > _KEPT:
            self._items.popitem(last=False)
        return item

    def _fail(self, key: str, why: str) -> None:
        if self._failed_at is None:
            _log.warning("The records do not say what %s is; the last known counts: %s", key, why)
        self._failed_at = self._clock()

    def _end(self, key: str, done: "asyncio.Task[Item | None]") -> None:
        if self._reading.get(key) is done:
            del self._reading[key]
        if not done.cancelled():
            done.exception()  # whoever waited has it; a reading in the background need not be told
