"""Background requests give way: few while users ask, up to half of the capacity when nobody does.

A request is one of these by its header `x-everloop-priority: background`. Users' requests pass
without a wait. The moment one arrives, background requests beyond what is then allowed are broken
off with a 429 unless their answer has begun; whoever sent them asks again.
"""

import asyncio
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from typing import Final

from starlette.datastructures import Headers
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.errors import InvalidRequest, Overloaded, RequestError
from deployments.gateway.error_bodies import error_response

__all__ = ["HEADER", "MODEL_ROUTES", "Background", "BackgroundGate", "background_slots"]

HEADER: Final = "x-everloop-priority"
MODEL_ROUTES: Final = frozenset({"/v1/chat/completions", "/v1/completions", "/v1/responses"})
_PRIORITIES: Final = ("background", "live")


def background_slots(live: int, capacity: int, *, quiet: bool = True) -> int:
    """Background requests that may run beside `live` ones of users.

    `quiet`: no user has asked for a while. Then half of the capacity, else one, so that a run gets
    on beside steady traffic; none once users take up half of the capacity themselves.
    """
    if live == 0 and quiet:
        return max(1, capacity // 2)
    return 1 if 2 * live < max(2, capacity) else 0


class BackgroundGate:
    """Lets background requests in by `background_slots`. Used on one event loop."""

    def __init__(
        self,
        capacity: int,
        *,
        wait_s: float,
        max_waiting: int,
        quiet_s: float,
        retry_after_s: int,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._capacity = capacity
        self._wait_s = wait_s
        self._max_waiting = max_waiting
        self._quiet_s = quiet_s
        self._retry_after_s = retry_after_s
        self._clock = clock
        self._live = 0
        self._last_live = -quiet_s
        self._running: list[Ticket] = []
        self._waiting: deque[asyncio.Future[Ticket]] = deque()
        self._timer: asyncio.TimerHandle | None = None

    @property
    def running(self) -> int:
        """Background requests that run."""
        return len(self._running)

    @contextmanager
    def live(self) -> Iterator[None]:
        """A user's request, for as long as it lasts."""
        self._live += 1
        self._last_live = self._clock()
        self._shed()
        try:
            yield
        finally:
            self._live -= 1
            self._last_live = self._clock()
            self._let_in()

    async def enter(self) -> "Ticket":
        """A place for a background request; give it back by `leave`. Raises Overloaded."""
        if self._allowed() > 0 and not self._waiting:
            return self._admit()
        if len(self._waiting) >= self._max_waiting:
            raise self.busy()
        turn: asyncio.Future[Ticket] = asyncio.get_running_loop().create_future()
        self._waiting.append(turn)
        self._let_in()
        try:
            async with asyncio.timeout(self._wait_s):
                return await turn
        except TimeoutError:
            if turn.done() and not turn.cancelled():
                return turn.result()  # its turn came in the same moment
            raise self.busy() from None
        except asyncio.CancelledError:
            if turn.done() and not turn.cancelled():
                self.leave(turn.result())
            raise
        finally:
            if turn in self._waiting:
                self._waiting.remove(turn)

    def leave(self, ticket: "Ticket") -> None:
        """Give a place back."""
        if ticket in self._running:
            self._running.remove(ticket)
        self._let_in()

    def busy(self) -> Overloaded:
        """What a background request is told that has no place."""
        return Overloaded(
            "Users' requests go first; ask again later.",
            code="background_deferred",
            retry_after_s=self._retry_after_s,
        )

    def _admit(self) -> "Ticket":
        ticket = Ticket()
        self._running.append(ticket)
        return ticket

    def _slots(self) -> int:
        quiet = self._clock() - self._last_live >= self._quiet_s
        return background_slots(self._live, self._capacity, quiet=quiet)

    def _allowed(self) -> int:
        return self._slots() - len(self._running)

    def _shed(self) -> None:
        """Break off the youngest of those that are too many now."""
        excess = -self._allowed()
        for ticket in [t for t in reversed(self._running) if t.can_be_broken_off][: max(0, excess)]:
            self._running.remove(ticket)
            ticket.break_off()

    def _let_in(self) -> None:
        free = self._allowed()
        while free > 0 and self._waiting:
            turn = self._waiting.popleft()
            if not turn.done():
                turn.set_result(self._admit())
                free -= 1
        if self._waiting and self._timer is None:
            self._timer = asyncio.get_running_loop().call_later(
                max(0.05, self._quiet_s / 4), self._look_again
            )

    def _look_again(self) -> None:
        self._timer = None
        self._let_in()


class Ticket:
    """A background request's place."""

    def __init__(self) -> None:
        self._task: asyncio.Task[None] | None = None
        self.broken_off = False
        self.answering = False
        """Its answer has begun: it is not broken off any more."""

    @property
    def can_be_broken_off(self) -> bool:
        """Whether a user's request may take its place."""
        return self._task is not None and not self.answering and not self.broken_off

    def carries(self, task: "asyncio.Task[None]") -> None:
        """Say which task answers the request."""
        self._task = task

    def break_off(self) -> None:
        """Stop the request."""
        self.broken_off = True
        if self._task is not None:
            self._task.cancel()


class Background:
    """The ASGI layer around the gate. It stands inside the deadline, which counts the wait too."""

    def __init__(self, app: ASGIApp, gate: BackgroundGate) -> None:
        self._app = app
        self._gate = gate

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if (
            scope["type"] != "http"
            or scope["method"] != "POST"
            or scope["path"].rstrip("/") not in MODEL_ROUTES
        ):
            await self._app(scope, receive, send)
            return
        priority = Headers(scope=scope).get(HEADER, "live")
        if priority == "live":
            with self._gate.live():
                await self._app(scope, receive, send)
            return
        try:
            if priority not in _PRIORITIES:
                raise InvalidRequest(
                    f"{HEADER} is {priority[:64]!r}; allowed: {', '.join(_PRIORITIES)}.",
                    param=HEADER,
                    code="invalid_value",
                )
            ticket = await self._gate.enter()
        except RequestError as error:
            await error_response(error)(scope, receive, send)
            return
        scope["state"]["background"] = True
        scope["state"]["trace"].body["background"] = True
        await self._serve(ticket, scope, receive, send)

    async def _serve(self, ticket: "Ticket", scope: Scope, receive: Receive, send: Send) -> None:
        async def watched(message: Message) -> None:
            ticket.answering = True
            await send(message)

        async def app() -> None:
            await self._app(scope, receive, watched)

        task = asyncio.create_task(app())
        ticket.carries(task)
        try:
            await task
        except asyncio.CancelledError:
            if not ticket.broken_off or ticket.answering:
                raise
            await error_response(self._gate.busy())(scope, receive, send)
        finally:
            self._gate.leave(ticket)
