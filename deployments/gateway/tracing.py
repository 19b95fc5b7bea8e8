"""Traces: what a request did, written off the hot path. A lost trace never costs an answer."""

import asyncio
import contextlib
import logging
import time
from collections import deque
from dataclasses import dataclass, field
from typing import Any, Final

from sqlalchemy.orm import Session

from cluster.database import Database
from cluster.errors import DatabaseError
from cluster.ids import DEFAULT_PROJECT, new_id
from cluster.records import Trace, now
from deployments.errors import RequestError

__all__ = ["CLIENT_CLOSED", "TraceDraft", "TraceWriter"]

CLIENT_CLOSED: Final = 499
"""nginx's status of a request whose client went away before the answer's end."""

_log = logging.getLogger(__name__)
_BATCH: Final = 256


@dataclass(slots=True)
class TraceDraft:
    """A trace while its request runs. Whoever learns something writes it here.

    `status` and `duration_ms` are set by the gateway when the response has ended.
    """

    id: str = field(default_factory=lambda: new_id("trace"))
    request_id: str = ""
    route: str = ""
    project_id: str = DEFAULT_PROJECT
    model: str | None = None
    status: int = 200
    question: str | None = None
    answer: str | None = None
    prompt_version: str | None = None
    body: dict[str, Any] = field(default_factory=dict)
    """passages, left_out, sentences, tokens, error: JSON values only."""
    timings_ms: dict[str, float] = field(default_factory=dict)
    created_at: int = field(default_factory=now)
    started: float = field(default_factory=time.perf_counter)
    duration_ms: float | None = None

    def answered_by(self, model: str, alias: str | None) -> None:
        """Note which version answers, and the alias that led to it."""
        self.model = model
        if alias is not None:
            self.body["alias"] = alias

    def finish(self, status: int | None = None) -> None:
        """Set the status and stop the clock, the first time it is called."""
        if status is not None:
            self.status = status
        if self.duration_ms is None:
            self.duration_ms = (time.perf_counter() - self.started) * 1000

    def fail(self, error: RequestError) -> None:
        """Note that the answer ended with `error`, also after its status line had gone out."""
        self.status = error.status
        self.body["error"] = error.body()["error"]

    def leave(self) -> None:
        """Note that the client went before the end."""
        self.status = CLIENT_CLOSED
        self.body["error"] = {"message": "The client went away.", "code": "client_closed"}

    def row(self, *, store_text: bool = True) -> Trace:
        """Make the record, without questions, answers and passages unless `store_text`."""
        body = dict(self.body)
        if not store_text:
            body = {key: value for key, value in body.items() if key not in _TEXTS}
        return Trace(
            id=self.id,
            project_id=self.project_id,
            request_id=self.request_id,
            route=self.route,
            model=self.model,
            status=self.status,
            question=_storable(self.question) if store_text else None,
            answer=_storable(self.answer) if store_text else None,
            prompt_version=self.prompt_version,
            body=_storable({**body, "timings_ms": dict(self.timings_ms)}),
            duration_ms=self.duration_ms or 0.0,
            created_at=self.created_at,
        )


_TEXTS: Final = frozenset({"passages", "left_out", "sentences"})


def _storable(value: Any) -> Any:
    """`value` without NUL characters, which PostgreSQL refuses in text and in JSON."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd")
    if isinstance(value, dict):
        return {_storable(str(key)): _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    return value


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
