"""Traces: what a request did, written off the hot path. A lost trace never costs an answer."""

import asyncio
import contextlib
import logging
from collections import deque
from itertools import chain
from typing import Final

from sqlalchemy.orm import Session

from cluster.database import Database
from cluster.errors import DatabaseError
from deployments.lineage.edges import add_edges, edges_of_trace
from deployments.tracing.draft import TraceDraft

__all__ = ["TraceWriter"]

_log = logging.getLogger(__name__)
_BATCH: Final = 256


class TraceWriter:
    """Writes traces in the background, in batches.

    At most `max_buffered` wait; when the database is slower or down, further ones are dropped and
    counted in `dropped`. A finished trace waits `flush_interval_s` at the longest.
    """

    def __init__(
        self,
        database: Database,
        max_buffered: int = 2048,
        flush_interval_s: float = 0.2,
        *,
        store_text: bool = True,
    ) -> None:
        self._database = database
        self._waiting: deque[TraceDraft] = deque()
        self._max_buffered = max_buffered
        self._interval_s = flush_interval_s
        self._store_text = store_text
        self._writing = asyncio.Lock()
        self.background: asyncio.Task[None] | None = None
        """The task that writes; it ends when nothing waits."""
        self.dropped = 0
        """Traces that were lost because the buffer was full or the database refused them."""
        self.written = 0
        """Traces that are in the database."""

    def record(self, draft: TraceDraft) -> None:
        """Hand over a finished trace. Never waits and never raises; call it on the event loop."""
        draft.finish()
        if len(self._waiting) >= self._max_buffered:
            self.dropped += 1
            return
        self._waiting.append(draft)
        if self.background is None or self.background.done():
            self.background = asyncio.get_running_loop().create_task(self._flush_soon())

    async def flush(self) -> None:
        """Write what has been recorded so far. Never raises."""
        async with self._writing:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
                if not await self._write(batch):
                    break

    async def close(self) -> None:
        """Write what is left and stop."""
        if self.background is not None:
            self.background.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.background
        await self.flush()

    async def _flush_soon(self) -> None:
        while self._waiting:
            await asyncio.sleep(self._interval_s)
            await self.flush()

    async def _write(self, batch: list[TraceDraft]) -> bool:
        def insert(session: Session) -> None:
            session.add_all([draft.row(store_text=self._store_text) for draft in batch])
            add_edges(session, chain(*(edges_of_trace(draft.id, draft.body) for draft in batch)))

        try:
            await self._database.run(insert)
        except DatabaseError as error:
            self._put_back(batch)
            _log.warning("Traces wait for the database (%d dropped): %s", self.dropped, error)
            return False
        except Exception:  # noqa: BLE001 - the edge of the task: a bad trace must not stop it
            if len(batch) > 1:
                return all([await self._write([draft]) for draft in batch])
            self.dropped += 1
            _log.exception("Trace %s could not be written", batch[0].id)
            return True
        self.written += len(batch)
        return True

    def _put_back(self, batch: list[TraceDraft]) -> None:
        room = max(0, self._max_buffered - len(self._waiting))
        kept = batch[max(0, len(batch) - room) :] if room else []
        self.dropped += len(batch) - len(kept)
        self._waiting.extendleft(reversed(kept))
