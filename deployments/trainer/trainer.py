"""The loop that starts what waits, notices what is lost, and lets serving go first."""

import asyncio
import logging
import time
from collections.abc import Awaitable, Callable, Mapping
from typing import Final, Protocol

from cluster.errors import EverloopError
from cluster.leases import has_lapsed
from cluster.records import now
from cluster.settings import TrainingQueueSettings
from deployments.model.messages import ModelLoad
from deployments.trainer.policy import Limits, OpenWork, Serving, Step, decide
from training.queue.ledger import START_LEASE_S, Queue, Work

__all__ = ["Processes", "ServingWatch", "Trainer"]

_log = logging.getLogger(__name__)
_TURN_S: Final = 1.0
_START_PAUSE_S: Final = 10
_GRACE_S: Final = 20.0
"""For a process that runs, but whose lease lapsed: the records may have been away, for it too."""


class Processes(Protocol):
    """Where the work runs. Blocking; see RayJobs."""

    def start(self, work: Work) -> None:
        """Start a claimed row's process."""

    def ended(self, work: Work) -> bool | None:
        """Whether it has ended; None where that is not known."""

    def stop(self, work: Work) -> None:
        """Stop it."""

    def last_words(self, work: Work) -> str:
        """The end of its log."""


class ServingWatch:
    """How long the models have been pressed, or calm. Pure but for its memory."""

    def __init__(self, yield_above: float, resume_below: float) -> None:
        self._above = yield_above
        self._below = resume_below
        self._pressed_since: float | None = None
        self._calm_since: float | None = float("-inf")

    def see(self, loads: Mapping[str, ModelLoad | None], at: float) -> Serving:
        """Take the loads of time `at`, in seconds of any clock.

        A model whose load is not known is starting, or too busy to say: no time to begin training,
        and no end of pressure.
        """
        known = [load for load in loads.values() if load is not None]
        all_known = len(known) == len(loads)
        shares = [
            max(load.unfinished - load.background, load.asked) / load.capacity
            for load in known
            if load.capacity
        ]
        highest = max(shares, default=0.0)
        if highest >= self._above:
            if self._pressed_since is None:
                self._pressed_since = at
        elif all_known:
            self._pressed_since = None
        if not all_known or (highest >= self._below and highest > 0):
            self._calm_since = None
        elif self._calm_since is None:
            self._calm_since = at
        return Serving(
            pressed_s=None if self._pressed_since is None else at - self._pressed_since,
            calm_s=None if self._calm_since is None else at - self._calm_since,
        )


class Trainer:
    """Takes turns, about one a second, until it is cancelled."""

    def __init__(
        self,
        queue: Queue,
        processes: Processes,
        loads: Callable[[], Awaitable[Mapping[str, ModelLoad | None]]],
        settings: TrainingQueueSettings,
        *,
        clock: Callable[[], float] = time.monotonic,
        grace_s: float = _GRACE_S,
    ) -> None:
        self._queue = queue
        self._processes = processes
        self._loads = loads
        self._clock = clock
        self._grace_s = grace_s
        self._limits = Limits(
            max_running=settings.max_running,
            max_crashes=settings.max_crashes,
            yield_after_s=settings.yield_after_s,
            resume_after_s=settings.resume_after_s,
        )
        self._watch = ServingWatch(settings.yield_above, settings.resume_below)
        self._wishes: dict[str, float] = {}
        self._lapsed: dict[str, float] = {}
        self._refused: dict[str, float] = {}
        self._awake = asyncio.Event()
        self.last_turn = time.monotonic()

    def wake(self) -> None:
        """Take the next turn now."""
        self._awake.set()

    async def run(self) -> None:
        """Take turns for ever. A turn that fails is logged, and the next one tries again."""
        while True:
            try:
                await self.turn()
            except EverloopError as error:
                _log.warning("The Trainer's turn failed: %s", error)
            self.last_turn = time.monotonic()
            try:
                async with asyncio.timeout(_TURN_S):
                    await self._awake.wait()
            except TimeoutError:
                pass
            self._awake.clear()

    async def turn(self) -> list[Step]:
        """Look once, and do what the policy says; answers what was done."""
        open_work = await asyncio.to_thread(self._queue.open_work)
        if not open_work:
            self._wishes.clear()
            self._lapsed.clear()
            self._refused.clear()
            return []
        serving = self._watch.see(await self._loads(), self._clock())
        seen = [await asyncio.to_thread(self._seen, work) for work in open_work]
        steps = decide(seen, serving, self._limits)
        by_id = {work.id: work for work in open_work}
        for step in steps:
            await asyncio.to_thread(self._do, step, by_id[step.id])
        return steps

    def _seen(self, work: Work) -> OpenWork:
        running = work.status == "running"
        at = self._clock()
        if work.wish is None:
            self._wishes.pop(work.id, None)
        else:
            self._wishes.setdefault(work.id, at)
        return OpenWork(
            id=work.id,
            kind=work.kind,
            running=running,
            crashes=work.crashes,
            ready=work.not_before <= now() and self._refused.get(work.id, at) <= at,
            lost=running and self._is_lost(work, at),
            wish=work.wish,
            wish_age_s=at - self._wishes.get(work.id, at),
        )

    def _is_lost(self, work: Work, at: float) -> bool:
        ended = self._processes.ended(work)
        if not has_lapsed(work.lease_until, now(), START_LEASE_S):
            self._lapsed.pop(work.id, None)
            return ended is True
        since = self._lapsed.setdefault(work.id, at)
        return ended is not False or at - since >= self._grace_s

    def _do(self, step: Step, work: Work) -> None:
        if step.action == "start":
            self._start(work)
        elif step.action == "ask_to_yield":
            self._queue.ask_to_yield(work)
        elif step.action == "stop":
            self._processes.stop(work)
            self._queue.cancelled(
                work, "Cancelled; what was done since the last checkpoint is lost."
            )
        elif step.action == "restart":
            self._processes.stop(work)
            self._queue.put_back(
                work,
                "Its process ended without a word; it goes on from its last checkpoint. "
                + self._processes.last_words(work),
                crashed=True,
                pause_s=0,
            )
        else:
            words = self._processes.last_words(work)
            self._processes.stop(work)
            self._queue.give_up(
                work,
                f"Its process ended {work.crashes + 1} times without a word. {words}".strip(),
                "process_lost",
            )

    def _start(self, work: Work) -> None:
        claimed = self._queue.claim(work)
        if claimed is None:
            return
        try:
            self._processes.start(claimed)
        except EverloopError as error:
            if work.kind == "gate":  # whose row cannot say so
                self._refused[work.id] = self._clock() + _START_PAUSE_S
            self._queue.put_back(claimed, str(error), crashed=False, pause_s=_START_PAUSE_S)
