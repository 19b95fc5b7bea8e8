"""Works on the runs that are open: claims items, has them answered and graded, writes them down.

Any number of workers share a run; see `ledger.py` for what keeps them apart.
"""

import asyncio
import contextlib
import logging
import time
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final

from cluster.errors import DatabaseError, EverloopError
from cluster.tenancy import acting_in
from deployments.evaluation.cases import Case
from deployments.evaluation.graders.build import build_grader
from deployments.evaluation.graders.grader import Grader
from deployments.evaluation.graders.specs import read_grader
from deployments.evaluation.runs.answers import Answered, AnswerSource, answer_source, given_answer
from deployments.evaluation.runs.callers import ModelRoutes
from deployments.evaluation.runs.grading import Failure, failure_of, grade_cases, score_json
from deployments.evaluation.runs.ledger import (
    Claimed,
    ClaimedItem,
    ItemResult,
    Plan,
    RunLedger,
)
from deployments.evaluation.runs.policy import Limits, OpenWork, decide
from deployments.evaluation.runs.samples import read_sample, sample_json
from deployments.evaluation.runs.summary import failure_reason, summarise
from deployments.evaluation.runs.verdicts import StoredVerdicts
from deployments.evaluation.toolbox import Toolbox

__all__ = ["RunWorker"]

_log = logging.getLogger(__name__)
_MOST_RUNS: Final = 32
"""Open runs that a worker looks at, the oldest first."""
_WATCH_S: Final = 1.0
"""How often runs in hand are asked whether they still stand: so soon is a cancel heard."""
_SWEEP_S: Final = 3600.0


@dataclass
class _Run:
    """A run in hand."""

    plan: Plan
    graders: tuple[Grader, ...]
    answers: AnswerSource | None
    held: dict[str, ClaimedItem] = field(default_factory=dict)
    tasks: set["asyncio.Task[None]"] = field(default_factory=set)
    drained: bool = False


class RunWorker:
    """One worker. `run` is its loop; it ends when it is cancelled, and gives its items back."""

    def __init__(
        self,
        ledger: RunLedger,
        api: ModelRoutes,
        toolbox: Toolbox,
        limits: Limits,
        *,
        lease_s: float,
        poll_s: float = 2.0,
        verdicts: StoredVerdicts | None = None,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._ledger = ledger
        self._api = api
        self._toolbox = toolbox
        self._limits = limits
        self._lease_s = lease_s
        self._poll_s = poll_s
        self._verdicts = verdicts
        self._clock = clock
        self._runs: dict[str, _Run] = {}
        self._claiming: asyncio.Task[Claimed] | None = None
        self._changed = asyncio.Event()
        self.last_turn = clock()
        """When the loop last came round: whoever watches it sees by this that it is alive."""

    def wake(self) -> None:
        """Look for work now. Must be called on the event loop."""
        self._changed.set()

    async def run(self) -> None:
        """Work until cancelled."""
        watcher = asyncio.create_task(self._watch())
        looked = self._clock()
        try:
            while True:
                self.last_turn = self._clock()
                if self.last_turn - looked >= self._poll_s:
                    looked = self.last_turn
                    self._look_again()
                self._changed.clear()
                try:
                    await self._turn()
                except DatabaseError as error:
                    _log.warning("Runs wait for the database: %s", error)
                await self._pause(self._poll_s)
        finally:
            watcher.cancel()
            await asyncio.gather(watcher, return_exceptions=True)
            await self._put_down()

    async def work_off(self) -> None:
        """Work until no run is open that this worker can do anything for."""
        while await self._turn():
            if tasks := [task for run in self._runs.values() for task in run.tasks]:
                await asyncio.wait(tasks, return_when=asyncio.FIRST_COMPLETED)

    async def _pause(self, seconds: float) -> None:
        """Until something changed, and no longer than that."""
        with contextlib.suppress(TimeoutError):
            async with asyncio.timeout(seconds):
                await self._changed.wait()

    def _look_again(self) -> None:
        """Items that others held may be free: a lease may have lapsed."""
        for run in self._runs.values():
            run.drained = False

    async def _turn(self) -> bool:
        """Claim what may be claimed, close what is through; whether there is more to do."""
        for plan in await self._ledger.open_runs(_MOST_RUNS):
            if plan.run_id not in self._runs:
                await self._take_up(plan)
        work = [
            OpenWork(run_id, run.plan.asks, len(run.held), run.drained)
            for run_id, run in self._runs.items()
        ]
        for claim in decide(work, self._limits):
            run = self._runs[claim.run_id]
            self._claiming = asyncio.create_task(self._ledger.claim(claim.run_id, claim.items))
            taken = await asyncio.shield(self._claiming)
            self._claiming = None
            run.drained = len(taken.items) + taken.given_up < claim.items
            self._start(run, taken)
        through = {
            run_id: run for run_id, run in self._runs.items() if run.drained and not run.held
        }
        for run in through.values():
            await self._close_if_done(run)
        # Those that got through their last item meanwhile are closed in the next turn.
        return not self._runs.keys() <= through.keys()

    async def _take_up(self, plan: Plan) -> None:
        try:
            specs = [read_grader(given) for given in plan.criteria]
            graders = tuple(build_grader(spec, self._toolbox) for spec in specs)
            answers = answer_source(plan.data_source, self._api) if plan.asks else None
        except Exception as error:  # noqa: BLE001 - the edge to runs: a bad one must not stop the others
            _log.warning("Run %s cannot be worked on: %s", plan.run_id, error)
            await self._ledger.begin(plan.run_id)
            await self._ledger.end(plan.run_id, {}, failure_of(error).json())
            return
        self._runs[plan.run_id] = _Run(plan, graders, answers)

    def _start(self, run: _Run, taken: Claimed) -> None:
        if not taken.items:
            return
        run.held.update({item.id: item for item in taken.items})
        with acting_in(run.plan.project_id):  # the task keeps what acts as it is made
            task = asyncio.create_task(self._work_on(run, taken.items))
        run.tasks.add(task)
        task.add_done_callback(lambda done: self._ended(run, taken.items, done))

    def _ended(self, run: _Run, items: Sequence[ClaimedItem], done: "asyncio.Task[None]") -> None:
        run.tasks.discard(done)
        for item in items:
            if run.held.get(item.id) == item:  # else it was claimed anew, its lease having lapsed
                del run.held[item.id]
        if not done.cancelled() and (error := done.exception()) is not None:
            # The lease brings the items back; whoever claims them may fare better.
            _log.warning("Items of run %s were not written: %r", run.plan.run_id, error)
        self._changed.set()

    async def _work_on(self, run: _Run, items: Sequence[ClaimedItem]) -> None:
        answered = await asyncio.gather(*(self._answered(run, item) for item in items))
        cases = [
            Case(item.number, item.item, told.sample)
            for item, told in zip(items, answered, strict=True)
            if isinstance(told, Answered)
        ]
        graded = iter(await grade_cases(cases, run.graders) if cases else ())
        results = []
        for item, told in zip(items, answered, strict=True):
            if isinstance(told, Failure):
                results.append(_result(item, "error", error=told.json()))
                continue
            one = next(graded)
            results.append(
                _result(
                    item,
                    one.outcome,
                    sample=_kept(told),
                    scores={name: score_json(score) for name, score in one.scores.items()},
                    error=None if one.failure is None else one.failure.json(),
                )
            )
        await self._ledger.write(results)

    async def _answered(self, run: _Run, item: ClaimedItem) -> Answered | Failure:
        if run.answers is None:
            return given_answer(None if item.given is None else read_sample(item.given))
        try:
            return await run.answers(item.item)
        except EverloopError as error:
            return failure_of(error)

    async def _close_if_done(self, run: _Run) -> None:
        """End the run where every item has its result; else others hold what is left."""
        run_id = run.plan.run_id
        if await self._ledger.is_done(run_id):
            results = await self._ledger.results(run_id)
            try:
                summary = await asyncio.to_thread(
                    summarise, results, run.graders, self._toolbox.judge_bar
                )
                error = failure_reason(summary)
            except Exception as unsummed:  # noqa: BLE001 - the edge to graders: the run must end
                summary, error = {}, failure_of(unsummed).json()
            await self._ledger.end(run_id, summary, error)
            self._runs.pop(run_id, None)

    async def _watch(self) -> None:
        """Renew leases, drop runs that were canceled or deleted, and sweep old verdicts."""
        renewed = swept = self._clock()
        while True:
            await asyncio.sleep(_WATCH_S)
            try:
                await self._drop_closed()
                if self._clock() - renewed >= self._lease_s / 3:
                    renewed = self._clock()
                    await self._ledger.renew(self._held())
                if self._verdicts is not None and self._clock() - swept >= _SWEEP_S:
                    swept = self._clock()
                    await self._verdicts.sweep()
            except DatabaseError as error:
                _log.warning("Runs wait for the database: %s", error)

    async def _drop_closed(self) -> None:
        standing = await self._ledger.still_open(self._runs)
        for run_id in self._runs.keys() - standing:
            run = self._runs.pop(run_id)
            for task in run.tasks:
                task.cancel()

    def _held(self) -> list[ClaimedItem]:
        return [item for run in self._runs.values() for item in run.held.values()]

    async def _put_down(self) -> None:
        """Stop at once and give back what is in hand."""
        held = self._held()
        tasks = [task for run in self._runs.values() for task in run.tasks]
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)
        try:
            if self._claiming is not None:
                held += (await self._claiming).items
            await self._ledger.release(held)
        except DatabaseError as error:
            _log.warning("%d items wait for their lease to lapse: %s", len(held), error)
        self._runs.clear()


def _kept(told: Answered) -> dict[str, Any] | None:
    if told.sample is None:
        return None
    return {**sample_json(told.sample), "input": list(told.messages)}


def _result(
    item: ClaimedItem,
    outcome: str,
    *,
    sample: dict[str, Any] | None = None,
    scores: Mapping[str, Any] | None = None,
    error: dict[str, Any] | None = None,
) -> ItemResult:
    return ItemResult(item.id, item.attempt, outcome, sample, dict(scores or {}), error)
