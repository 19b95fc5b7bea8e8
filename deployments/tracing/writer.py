"""Traces: what a request did, written off the hot path. A lost trace never costs an answer."""

import asyncio
import contextlib
import logging
import time
from collections import Counter, deque
from collections.abc import Mapping, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, Literal

from sqlalchemy.orm import Session

from cluster.database import Database
from cluster.errors import DatabaseError
from cluster.fencing import fenced_by
from cluster.inserting import insert_missing
from cluster.records import Trace
from cluster.settings import TracingSettings
from cluster.tenancy import acting_in
from deployments.lineage.edges import Edge, add_edges, edges_of_trace
from deployments.tracing.counts import TraceCounts
from deployments.tracing.draft import TraceDraft
from deployments.tracing.policy import TracePolicy
from deployments.tracing.rows import RowMaker

if TYPE_CHECKING:
    from deployments.tracing.otel import SpanExport

__all__ = ["TraceWriter"]

_log = logging.getLogger(__name__)
_BATCH: Final = 256
_LONGEST_PAUSE_S: Final = 2.0
"""Between two tries while the database does not answer."""
_LOG_EVERY_S: Final = 30.0

Loss = Literal["buffer_full", "refused", "closed"]
"""Why traces were lost: no room while the database was slow or down; the database refused the row;
the database was down when the replica stopped."""


class TraceWriter:
    """Writes traces in the background, in batches.

    At most `max_buffered` wait; when the database is slower or down, further ones are dropped and
    counted in `dropped`. A finished trace waits `flush_interval_s` at the longest. Rows are made,
    and personal data is masked, in a thread of its own.
    """

    def __init__(
        self,
        database: Database,
        max_buffered: int = 2048,
        flush_interval_s: float = 0.2,
        *,
        policy: TracePolicy | None = None,
        rows: RowMaker | None = None,
        export: "SpanExport | None" = None,
    ) -> None:
        self._database = database
        self._waiting: deque[_Waiting] = deque()
        self._max_buffered = max_buffered
        self._interval_s = flush_interval_s
        self._policy = policy or TracePolicy()
        self._rows = rows or RowMaker()
        self._export = export
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="traces")
        self._writing = asyncio.Lock()
        self._closing = False
        self._failures = 0
        self._logged_at = -_LOG_EVERY_S
        self.background: asyncio.Task[None] | None = None
        """The task that writes; it ends when nothing waits."""
        self.lost: Counter[Loss] = Counter()
        """Traces that were lost, by the reason."""
        self.written = 0
        """Traces that are in the database."""
        self.sampled_out = 0

    @classmethod
    def of(cls, database: Database, settings: TracingSettings) -> "TraceWriter":
        """Make what the settings say."""
        export = None
        if settings.otlp.endpoint is not None:
            from deployments.tracing.otel import SpanExport

            export = SpanExport.of(settings.otlp)
        return cls(
            database,
            settings.max_buffered,
            settings.flush_interval_s,
            policy=TracePolicy(settings.sample_rate, settings.slow_ms),
            rows=RowMaker.of(settings),
            export=export,
        )

    @property
    def dropped(self) -> int:
        """Traces that were lost."""
        return self.lost.total()

    def counts(self) -> TraceCounts:
        """What became of the traces."""
        export = self._export
        return TraceCounts(
            self.written,
            self.dropped,
            len(self._waiting),
            self.sampled_out,
            0 if export is None else export.exported,
            0 if export is None else export.dropped,
        )

    def record(self, draft: TraceDraft) -> None:
        """Hand over a finished trace. Never waits and never raises; call it on the event loop."""
        draft.finish()
        if not self._policy.keeps(draft):
            self.sampled_out += 1
            return
        if len(self._waiting) >= self._max_buffered:
            self._lose("buffer_full")
            return
        self._waiting.append(_Waiting(draft))
        self._wake()

    async def flush(self) -> None:
        """Write what has been recorded so far. Never raises."""
        async with self._writing:
            while self._waiting:
                batch = [self._waiting.popleft() for _ in range(min(_BATCH, len(self._waiting)))]
                if not await self._write(batch):
                    break

    async def close(self) -> None:
        """Write what is left and stop; what the database does not take now is lost."""
        self._closing = True
        if self.background is not None:
            self.background.cancel()
            with contextlib.suppress(asyncio.CancelledError):
                await self.background
        await self.flush()
        if self._waiting:
            self._lose("closed", len(self._waiting))
            self._waiting.clear()
        if self._export is not None:
            await asyncio.to_thread(self._export.close)
        self._thread.shutdown(wait=False)

    def _wake(self) -> None:
        if not self._closing and (self.background is None or self.background.done()):
            self.background = asyncio.get_running_loop().create_task(self._flush_soon())

    async def _flush_soon(self) -> None:
        while self._waiting:
            backoff = min(_LONGEST_PAUSE_S, self._interval_s * 2 ** min(self._failures, 8))
            await asyncio.sleep(max(self._interval_s, backoff))
            await self.flush()

    async def _write(self, batch: "list[_Waiting]") -> bool:
        """Write a batch; False, with the batch back in the buffer, where the database is down."""
        try:
            await asyncio.get_running_loop().run_in_executor(self._thread, self._make_rows, batch)
            made = [waiting.row for waiting in batch if waiting.row is not None]
            edges: dict[str, list[Edge]] = {}
            for waiting in batch:
                draft = waiting.draft
                edges.setdefault(draft.project_id, []).extend(edges_of_trace(draft.id, draft.body))
            with fenced_by(None):  # whoever flushes: traces are no part of what it makes
                await self._database.run(lambda session: _insert(session, made, edges))
        except asyncio.CancelledError:
            self._put_back(batch)  # written twice is written once: see `_insert`
            raise
        except DatabaseError as error:
            self._failures += 1
            self._put_back(batch)
            self._tell(f"Traces wait for the database: {error}")
            return False
        except Exception:  # noqa: BLE001 - the edge of the task: a bad trace must not stop it
            if len(batch) > 1:
                return all([await self._write([waiting]) for waiting in batch])
            self._lose("refused")
            _log.exception("Trace %s could not be written", batch[0].draft.id)
            return True
        self._failures = 0
        self.written += len(batch)
        return True

    def _make_rows(self, batch: "list[_Waiting]") -> None:
        """In the writer's thread: make the rows that are not made yet, and export them."""
        for waiting in batch:
            if waiting.row is None:
                waiting.row = self._rows.values(waiting.draft)
                if self._export is not None:
                    self._export.offer(waiting.row, waiting.draft.began_ns)

    def _put_back(self, batch: "list[_Waiting]") -> None:
        room = max(0, self._max_buffered - len(self._waiting))
        kept = batch[max(0, len(batch) - room) :] if room else []
        if len(kept) < len(batch):
            self._lose("buffer_full", len(batch) - len(kept))
        self._waiting.extendleft(reversed(kept))
        self._wake()

    def _lose(self, why: Loss, count: int = 1) -> None:
        self.lost[why] += count
        self._tell(f"Traces are lost ({why})")

    def _tell(self, what: str) -> None:
        """Warn, at most twice a minute: a database that is down is met by every flush."""
        if time.monotonic() - self._logged_at >= _LOG_EVERY_S:
            self._logged_at = time.monotonic()
            _log.warning("%s. %d lost so far, %d wait.", what, self.dropped, len(self._waiting))


@dataclass(slots=True)
class _Waiting:
    """A trace in the buffer."""

    draft: TraceDraft
    row: dict[str, Any] | None = None
    """Made once, however often the database is tried."""


def _insert(
    session: Session, rows: Sequence[dict[str, Any]], edges: Mapping[str, Sequence[Edge]]
) -> None:
    """Insert what is not there yet: a commit whose answer got lost may have done it.

    `edges`: by the project of their trace. A batch has traces of several.
    """
    insert_missing(session, Trace, rows)
    for project_id, found in edges.items():
        with acting_in(project_id):
            add_edges(session, found)
