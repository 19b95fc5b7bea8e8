"""The loop around the document pipeline: claim, process, renew, purge, settle.

The work stands in the records. `wake()` only saves the wait until the next look.
"""

import asyncio
import logging
import time
from collections import Counter
from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from typing import Final

from cluster.errors import DatabaseError, EverloopError
from ingestion.changes import Claim
from ingestion.ledger import Ledger
from ingestion.pipeline import DocumentPipeline
from ingestion.sweeping import Sweeper

__all__ = ["Ingestor", "IngestorStats", "settle_is_due"]

_log = logging.getLogger(__name__)
_SETTLE_PASSAGES: Final = 5_000
_SETTLE_IDLE_PASSAGES: Final = 250
_SETTLE_AGE_S: Final = 60.0


@dataclass(frozen=True, slots=True)
class IngestorStats:
    """What the Ingestor is doing."""

    queued: int
    in_flight: dict[int, str]
    """Number of the document version → its store."""
    passages_written: int
    outcomes: dict[str, int]
    """Since the replica started: completed, failed, cancelled, queued (again), lost."""


@dataclass(slots=True)
class _Flight:
    claim: Claim
    task: "asyncio.Task[None]" = field(repr=False)
    since: float
    alone: bool
    """Whether no other may be in work beside it."""


def settle_is_due(unsettled: int, idle: bool, oldest_s: float) -> bool:
    """Whether to flush Milvus now.

    New passages are searched by brute force until then, and every flush makes one more segment:
    so at the end of a burst, every few thousand passages within one, and a trickle each minute.
    """
    if unsettled == 0:
        return False
    if idle and unsettled >= _SETTLE_IDLE_PASSAGES:
        return True
    return unsettled >= _SETTLE_PASSAGES or oldest_s >= _SETTLE_AGE_S


class Ingestor:
    """Runs up to `max_files` document versions at a time, and sweeps up what is dead.

    Rows in work are leased and the leases renewed, so a second Ingestor (during a rolling update)
    takes other rows, and the rows of one that died after `ledger.lease_s`. A version that may be
    what killed Ingestors before is worked on alone, for its first `alone_s`; see the ledger.
    """

    def __init__(
        self,
        ledger: Ledger,
        pipeline: DocumentPipeline,
        sweeper: Sweeper,
        *,
        max_files: int = 48,
        max_attempts: int = 3,
        poll_s: float = 2.0,
        alone_s: float = 60.0,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._pipeline = pipeline
        self._sweeper = sweeper
        self._max_files = max_files
        self._max_attempts = max_attempts
        self._poll_s = poll_s
        self._alone_s = alone_s
        self._clock = clock
        self._flights: dict[int, _Flight] = {}
        self._outcomes: Counter[str] = Counter()
        self._awake = asyncio.Event()
        self._sweep_wanted = True
        self._settled_passages = 0
        self._unsettled_since = clock()
        self._purging = asyncio.Lock()
        self.last_turn = clock()
        """When the loop last came round; one that is stuck is unhealthy."""

    def wake(self) -> None:
        """Look for work, and for what to purge, now."""
        self._sweep_wanted = True
        self._awake.set()

    async def purge(self, numbers: Sequence[int]) -> None:
        """Stop work on these versions and delete their passages. Raises VectorDatabaseError."""
        if await self._stop_flights(numbers):
            await self._pipeline.writes_under_way()
        async with self._purging:
            await self._sweeper.purge(numbers)

    async def purge_project(self, project_id: str) -> int:
        """Stop work for a project and delete its passages; returns how many there were."""
        flights = self._flights.values()
        if await self._stop_flights(
            [f.claim.number for f in flights if f.claim.project_id == project_id]
        ):
            await self._pipeline.writes_under_way()
        async with self._purging:
            return await self._sweeper.purge_project(project_id)

    async def stats(self) -> IngestorStats:
        """Return what is waiting and under way."""
        return IngestorStats(
            queued=await self._ledger.backlog(),
            in_flight={n: flight.claim.store_id for n, flight in self._flights.items()},
            passages_written=self._pipeline.passages_written,
            outcomes=dict(self._outcomes),
        )

    async def run(self) -> None:
        """Work until cancelled. An outage of the records or of Milvus only delays it."""
        try:
            async with asyncio.TaskGroup() as group:
                group.create_task(self._keep_leases())
                group.create_task(self._keep_clean())
                while True:
                    await self._turn()
        finally:
            claims = [flight.claim for flight in self._flights.values()]
            await self._stop_flights(list(self._flights))
            await self._ledger.release(claims)

    async def drain(self) -> None:
        """Work until nothing is queued or under way: `run` for a test or a script."""
        while await self._start_more() or self._flights:
            while self._flights:
                tasks = [flight.task for flight in self._flights.values()]
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)
                if self._has_room():
                    break

    async def sweep(self) -> None:
        """Expire stores, queue what a dead worker left, and purge what is dead."""
        await self._ledger.expire_stores()
        if await self._ledger.recover(self._max_attempts, own=list(self._flights)):
            self._awake.set()
        while numbers := await self._sweeper.due():
            await self.purge(numbers)

    async def _turn(self) -> None:
        self.last_turn = self._clock()
        self._awake.clear()
        try:
            await self._start_more()
        except DatabaseError as error:
            _log.warning("The queue cannot be read: %s", error)
        try:
            async with asyncio.timeout(self._poll_s):
                await self._awake.wait()
        except TimeoutError:
            pass

    def _has_room(self) -> bool:
        """Whether it is time to claim: a quarter is free, so that claims share a transaction."""
        return len(self._flights) <= self._max_files * 3 // 4

    async def _start_more(self) -> int:
        flights = list(self._flights.values())
        for flight in flights:
            if flight.alone and self._clock() - flight.since >= self._alone_s:
                await self._ledger.admit(flight.claim)
                flight.alone = False
        if any(flight.alone for flight in flights):
            return 0
        claims = await self._ledger.claim(
            self._max_files - len(flights),
            Counter((flight.claim.project_id, flight.claim.store_id) for flight in flights),
            max_attempts=self._max_attempts,
            suspects=not any(flight.claim.alone for flight in flights),
        )
        for claim in claims:
            task = asyncio.create_task(self._fly(claim))
            self._flights[claim.number] = _Flight(claim, task, self._clock(), claim.alone)
        return len(claims)

    async def _fly(self, claim: Claim) -> None:
        try:
            outcome = await self._pipeline.process(claim)
            self._outcomes[outcome.status] += 1
            if outcome.replaced or outcome.status in {"failed", "cancelled", "lost"}:
                self._sweep_wanted = True
        except EverloopError as error:
            # The row keeps its stage; once its lease lapses, it is queued again.
            _log.error("Document %d is left for later: %s", claim.number, error)
            self._outcomes["lost"] += 1
        finally:
            self._flights.pop(claim.number, None)
            if self._has_room():
                self._awake.set()

    async def _stop_flights(self, numbers: Sequence[int]) -> int:
        tasks = [self._flights[number].task for number in numbers if number in self._flights]
        for task in tasks:
            task.cancel()
        if tasks:
            await asyncio.wait(tasks)
        return len(tasks)

    async def _keep_leases(self) -> None:
        while True:
            await asyncio.sleep(self._ledger.lease_s / 3)
            claims = [flight.claim for flight in self._flights.values()]
            try:
                held = await self._ledger.renew(claims)
            except DatabaseError as error:
                _log.warning("The leases cannot be renewed: %s", error)
                continue
            # Detached, cancelled or taken over: do not waste another forward pass on it.
            await self._stop_flights([claim.number for claim in claims if claim.number not in held])

    async def _keep_clean(self) -> None:
        swept = settled = -float("inf")
        while True:
            now = self._clock()
            try:
                if self._sweep_wanted or now - swept >= self._ledger.lease_s / 2:
                    self._sweep_wanted, swept = False, now
                    await self.sweep()
                if self._settle_due(now) and now - settled >= self._poll_s:
                    written, settled = self._pipeline.passages_written, now
                    await self._pipeline.settle()
                    self._settled_passages, self._unsettled_since = written, now
            except EverloopError as error:
                _log.warning("Cleaning up is put off: %s", error)
                self._sweep_wanted = True
                await asyncio.sleep(self._poll_s)
            await asyncio.sleep(self._poll_s / 4)

    def _settle_due(self, now: float) -> bool:
        unsettled = self._pipeline.passages_written - self._settled_passages
        if unsettled == 0:
            self._unsettled_since = now
        return settle_is_due(unsettled, not self._flights, now - self._unsettled_since)
