"""When keys were last used, to a minute, written beside the requests."""

import asyncio
import logging
from typing import TYPE_CHECKING, Final

from sqlalchemy import or_, update

from cluster.errors import DatabaseError
from cluster.records import ApiKey
from cluster.tenancy import acting_in

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from cluster.database import Database

__all__ = ["LastUse"]

_log = logging.getLogger(__name__)
_MINUTE_S: Final = 60
_PAUSE_S: Final = 2.0
"""So many uses of a moment are one transaction."""
_MOST: Final = 4096


class LastUse:
    """Notes uses and writes them a moment later. What cannot be written is noted by the next use.

    At most 4096 keys are remembered; beyond it all are forgotten, which costs one write each.
    """

    def __init__(self, database: "Database", pause_s: float = _PAUSE_S) -> None:
        self._database = database
        self._pause_s = pause_s
        self._noted: dict[str, int] = {}
        self._waiting: dict[str, int] = {}
        self._writer: asyncio.Task[None] | None = None

    def note(self, key_id: str, at: float) -> None:
        """A key is used now. Must be called on the event loop; costs a look-up in most cases."""
        minute = int(at) // _MINUTE_S * _MINUTE_S
        if self._noted.get(key_id) == minute:
            return
        if len(self._noted) >= _MOST:
            self._noted.clear()
        self._noted[key_id] = self._waiting[key_id] = minute
        if self._writer is None or self._writer.done():
            self._writer = asyncio.get_running_loop().create_task(self._write_soon())

    async def close(self) -> None:
        """Write what waits."""
        if self._writer is not None:
            self._writer.cancel()
            await asyncio.gather(self._writer, return_exceptions=True)
        await self._write()

    async def _write_soon(self) -> None:
        while self._waiting:
            await asyncio.sleep(self._pause_s)
            await self._write()

    async def _write(self) -> None:
        uses, self._waiting = self._waiting, {}
        if not uses:
            return

        def write(session: "Session") -> None:
            for minute in set(uses.values()):
                ids = sorted(key_id for key_id, used in uses.items() if used == minute)
                earlier = or_(ApiKey.last_used_at.is_(None), ApiKey.last_used_at < minute)
                session.execute(
                    update(ApiKey).where(ApiKey.id.in_(ids), earlier).values(last_used_at=minute)
                )

        try:
            with acting_in(None):
                await self._database.run(write)
        except DatabaseError as error:
            _log.warning("The last use of %d keys is not written: %s", len(uses), error)
            for key_id in uses:
                self._noted.pop(key_id, None)
