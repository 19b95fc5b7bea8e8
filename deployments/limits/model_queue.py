"""The places of one model in one gateway replica, and who waits for one."""

import asyncio
import math
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass, field
from typing import Final

from deployments.errors import Overloaded
from deployments.limits.fair_order import FairOrder, Flow

__all__ = ["Capacity", "ModelQueue", "Place"]

_PATIENCE: Final = 0.8
"""Share of a deadline that waiting and answering may be expected to take. The rest is for what the
expectation misses: admitted requests are to be answered in time, or the work was for nothing."""
_SMOOTHING: Final = 0.1
"""Weight of the newest service time in the mean of them."""
_LONGEST_RETRY_S: Final = 60


@dataclass(frozen=True, slots=True)
class Capacity:
    """What a gateway replica has under way at once of one model."""

    calls: int
    tokens: float = math.inf
    """Of prompts and answers together, as the KV cache holds them."""


@dataclass(slots=True)
class Place:
    """A call's place."""

    answered: bool = False
    """Whether the model has said all. Whoever reads an answer may stop right after its last part,
    as one does who goes away in the middle."""


@dataclass(eq=False, slots=True)
class _Waiting:
    flow: Flow
    tokens: int
    turn: "asyncio.Future[None]" = field(repr=False)


class ModelQueue:
    """Lets calls to a model in, by fair shares of projects; see FairOrder. Used on one event loop.

    Bounded: at most `max_waiting` wait, and `max_waiting_per_project` of one project. Where all
    places to wait are taken, the last one of whom most wait makes room. A call whose turn is not
    expected in time for its deadline is refused at once.
    """

    def __init__(
        self,
        capacity: Capacity,
        *,
        max_waiting: int,
        max_waiting_per_project: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._capacity = capacity
        self._max_waiting: Final = max_waiting
        self._max_waiting_per_project: Final = max_waiting_per_project
        self._clock: Final = clock
        self._order: Final[FairOrder[_Waiting]] = FairOrder()
        self._running = 0
        self._tokens = 0
        self._live = 0
        self._service_s = 0.0

    @property
    def waiting(self) -> int:
        """Calls that wait."""
        return len(self._order)

    @property
    def running(self) -> int:
        """Calls that have a place."""
        return self._running

    @property
    def live(self) -> int:
        """Users' calls, those that wait included."""
        return self._live

    def resize(self, capacity: Capacity) -> None:
        """From now on there are so many places."""
        self._capacity = capacity
        self._let_in()

    def pressure(self, project_id: str, deadline_s: float, *, background: bool = False) -> float:
        """How pressed it is for a call of this project: 0 is no wait, from 1 on it is refused."""
        if self._has_place() and not self.waiting:
            return 0.0
        flow = Flow(background, project_id)
        return max(self._fullness(flow), self._lateness(flow, deadline_s))

    def refuses(self, project_id: str, deadline_s: float, *, background: bool = False) -> bool:
        """Whether a call that came now would not even be let wait."""
        if self._has_place() and not self.waiting:
            return False
        flow = Flow(background, project_id)
        if self._lateness(flow, deadline_s) >= 1:
            return True
        return self._fullness(flow) >= 1 and self._who_makes_room(flow) is None

    def refusal(self, project_id: str, *, background: bool = False) -> Overloaded:
        """What a call is told that is not let in."""
        wait_s = self._wait_s(Flow(background, project_id))
        return Overloaded(
            "The model has more to do than it can. Try again shortly.",
            code="overloaded",
            retry_after_s=min(_LONGEST_RETRY_S, max(1, math.ceil(wait_s))),
        )

    @asynccontextmanager
    async def place(
        self,
        project_id: str,
        tokens: int,
        deadline_s: float,
        *,
        weight: float = 1.0,
        background: bool = False,
    ) -> AsyncIterator["Place"]:
        """A place for one call, for as long as the block lasts. Raises Overloaded.

        `tokens`: what it may take, prompt and answer. `deadline_s`: seconds that it has left.
        """
        self._live += not background
        try:
            await self._enter(Flow(background, project_id), tokens, deadline_s, weight)
            place, began = Place(), self._clock()
            try:
                yield place
            finally:
                self._leave(tokens)
                taken_s = self._clock() - began
                # One that was broken off would have taken longer: it may only raise the mean, or
                # a mean of those that were quick enough would let in too many.
                if place.answered or taken_s > self._service_s > 0:
                    self._learn(taken_s)
        finally:
            self._live -= not background

    async def _enter(self, flow: Flow, tokens: int, deadline_s: float, weight: float) -> None:
        if self.refuses(flow.project_id, deadline_s, background=flow.background):
            raise self.refusal(flow.project_id, background=flow.background)
        if self.waiting and self._fullness(flow) >= 1:
            self._make_room(flow)
        turn: asyncio.Future[None] = asyncio.get_running_loop().create_future()
        waiting = _Waiting(flow, tokens, turn)
        self._order.push(flow, weight, max(1, tokens), waiting)
        self._let_in()
        try:
            if not turn.done():
                async with asyncio.timeout(max(0.0, deadline_s - self._service_s)):
                    await turn
        except TimeoutError:
            if turn.cancelled():  # else its turn came in the same moment
                raise self.refusal(flow.project_id, background=flow.background) from None
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled() and turn.exception() is None:
                self._leave(tokens)
            raise
        finally:
            self._order.remove(flow, waiting)
        await turn  # raises what made it leave

    def _who_makes_room(self, flow: Flow) -> Flow | None:
        """The flow whose last one leaves for one of `flow`: the longest, where that is fair."""
        longest = self._order.longest()
        own = self._order.waiting(flow)
        if longest is None or own >= self._max_waiting_per_project:
            return None
        yields = longest.background and not flow.background
        return longest if yields or self._order.waiting(longest) > own + 1 else None

    def _make_room(self, flow: Flow) -> None:
        longest = self._who_makes_room(flow)
        assert longest is not None  # noqa: S101 - `refuses` has looked
        last = self._order.youngest(longest)
        self._order.remove(longest, last)
        last.turn.set_exception(self.refusal(longest.project_id, background=longest.background))

    def _fullness(self, flow: Flow) -> float:
        of_all = _share(self.waiting, self._max_waiting)
        return max(of_all, _share(self._order.waiting(flow), self._max_waiting_per_project))

    def _lateness(self, flow: Flow, deadline_s: float) -> float:
        """The expected wait, by the time there is for it."""
        time_s = _PATIENCE * deadline_s - self._service_s
        wait_s = self._wait_s(flow)
        return wait_s / time_s if time_s > 0 else math.inf if wait_s else 0.0

    def _wait_s(self, flow: Flow) -> float:
        """Expected until a new call of `flow` has its turn."""
        if self._has_place() and not self.waiting:
            return 0.0
        return (self._order.ahead_of(flow) + 1) * self._service_s / max(1, self._capacity.calls)

    def _has_place(self, tokens: int = 0) -> bool:
        if not self._running:
            return True  # one that takes more than there is runs alone
        fits = self._tokens + tokens <= self._capacity.tokens
        return fits and self._running < self._capacity.calls

    def _let_in(self) -> None:
        while (following := self._order.peek()) is not None and self._has_place(following.tokens):
            self._order.pop()
            if not following.turn.done():
                self._running += 1
                self._tokens += following.tokens
                following.turn.set_result(None)

    def _leave(self, tokens: int) -> None:
        self._running -= 1
        self._tokens -= tokens
        self._let_in()

    def _learn(self, seconds: float) -> None:
        known = self._service_s
        self._service_s = seconds if not known else known + _SMOOTHING * (seconds - known)


def _share(count: int, most: int) -> float:
    return count / most if most else 1.0
