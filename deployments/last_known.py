"""What was read from the records last, for when they do not answer."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Awaitable, Callable
from typing import Final, Generic, TypeVar

from cluster.errors import DatabaseError
from cluster.tenancy import restricted_to

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
_Place = tuple[str | None, str]
"""The acting project, and the key in it."""


class LastKnown(Generic[Item]):
    """A bounded map over a reader: items count for `ttl_s`, then they are read anew.

    Every project has a map of its own: what one was told answers no other, whatever the key.

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
        self._items: OrderedDict[_Place, tuple[float, Item]] = OrderedDict()
        self._reading: dict[_Place, asyncio.Task[Item | None]] = {}
        self._failed_at: float | None = None
        """When the database last did not answer; None while it does."""

    async def get(self, key: str) -> Item | None:
        """What `key` stands for; None where there is no such thing.

        Raises DatabaseError where nothing is known that is young enough.
        """
        place = (restricted_to(), key)
        found = self._items.get(place)
        age = self._clock() - found[0] if found is not None else self._stale_s
        if found is not None and age < self._ttl_s:
            return found[1]
        if found is None or age >= self._stale_s:
            return await asyncio.shield(self._asked(place))
        if self._failed_at is not None:
            if self._clock() - self._failed_at >= _RETRY_S:
                self._asked(place)
            return found[1]
        reading = self._asked(place)
        done, _ = await asyncio.wait({reading}, timeout=_PATIENCE_S)
        if not done:
            self._fail(key, "it has not answered yet")
            return found[1]
        if reading.cancelled() or reading.exception() is not None:
            return found[1]
        return reading.result()

    def drop(self, key: str) -> None:
        """Forget what it is to the acting project, and what is being read of it."""
        place = (restricted_to(), key)
        self._items.pop(place, None)
        self._reading.pop(place, None)

    def _asked(self, place: _Place) -> "asyncio.Task[Item | None]":
        """The one reading of `place` that is under way; it acts for whoever asked first."""
        reading = self._reading.get(place)
        if reading is None:
            reading = asyncio.get_running_loop().create_task(self._refresh(place))
            self._reading[place] = reading
            reading.add_done_callback(lambda done: self._end(place, done))
        return reading

    async def _refresh(self, place: _Place) -> Item | None:
        asked, key = self._clock(), place[1]
        try:
            item = await self._read(key)
        except DatabaseError as error:
            self._fail(key, str(error))
            raise
        self._failed_at = None
        if self._reading.get(place) is not asyncio.current_task():
            return item  # dropped meanwhile: what was read may be from before
        if item is None:  # names that clients make up are not kept
            self._items.pop(place, None)
            return None
        self._items[place] = (asked, item)
        self._items.move_to_end(place)
        if len(self._items) > _KEPT:
            self._items.popitem(last=False)
        return item

    def _fail(self, key: str, why: str) -> None:
        if self._failed_at is None:
            _log.warning("The records do not say what %s is; the last known counts: %s", key, why)
        self._failed_at = self._clock()

    def _end(self, place: _Place, done: "asyncio.Task[Item | None]") -> None:
        if self._reading.get(place) is done:
            del self._reading[place]
        if not done.cancelled():
            done.exception()  # whoever waited has it; a reading in the background need not be told
