"""Background requests give way to those of users, who never wait for them."""

import asyncio
from collections.abc import AsyncIterator
from dataclasses import dataclass
from types import SimpleNamespace
from typing import Any, cast

import httpx2
import pytest
from fastapi import FastAPI, Request
from sqlalchemy import select
from starlette.responses import JSONResponse

from cluster.records import Trace
from deployments.errors import Overloaded
from deployments.gateway.background import Background, BackgroundGate, background_slots
from deployments.gateway.request_context import is_background
from deployments.gateway.services import Services
from deployments.handles import ModelHandle
from deployments.model.messages import ModelCall, Part
from deployments.tracing.draft import TraceDraft
from tests.fakes.parts import FakeModel

BACKGROUND = {"x-everloop-priority": "background"}


@pytest.mark.parametrize(
    ("live", "capacity", "quiet", "slots"),
    [
        (0, 32, True, 16),
        (0, 1, True, 1),
        (0, 32, False, 1),
        (1, 32, False, 1),
        (15, 32, False, 1),
        (16, 32, False, 0),
        (1, 1, False, 0),
        (1, 8, True, 1),
    ],
)
def test_slots(live: int, capacity: int, quiet: bool, slots: int) -> None:
    assert background_slots(live, capacity, quiet=quiet) == slots


@dataclass
class Clock:
    now: float = 100.0

    def __call__(self) -> float:
        return self.now


def gate(clock: Clock, *, wait_s: float = 5.0, max_waiting: int = 4) -> BackgroundGate:
    return BackgroundGate(
        8, wait_s=wait_s, max_waiting=max_waiting, quiet_s=10.0, retry_after_s=3, clock=clock
    )


async def test_half_of_the_capacity_runs_while_nobody_asks() -> None:
    clock = Clock()
    one = gate(clock, wait_s=0.01)
    tickets = [await one.enter() for _ in range(4)]
    with pytest.raises(Overloaded) as caught:
        await one.enter()
    assert caught.value.retry_after_s == 3
    one.leave(tickets[0])
    one.leave(tickets[0])
    await one.enter()
    assert one.running == 4


async def test_few_run_beside_users_and_a_while_after_them() -> None:
    clock = Clock()
    one = gate(clock, wait_s=0.01)
    with one.live():
        ticket = await one.enter()
        with pytest.raises(Overloaded):
            await one.enter()
        with one.live(), one.live(), one.live():
            one.leave(ticket)
            with pytest.raises(Overloaded):
                await one.enter()
    await one.enter()
    with pytest.raises(Overloaded):
        await one.enter()
    clock.now += 10
    await one.enter()


async def test_who_waits_comes_in_its_turn_and_the_queue_is_bounded() -> None:
    one = gate(Clock(), max_waiting=2)
    tickets = [await one.enter() for _ in range(4)]
    first, second = asyncio.create_task(one.enter()), asyncio.create_task(one.enter())
    await asyncio.sleep(0)
    with pytest.raises(Overloaded):
        await one.enter()
    one.leave(tickets[0])
    await first
    assert not second.done()
    second.cancel()
    await asyncio.gather(second, return_exceptions=True)
    one.leave(tickets[1])
    await one.enter()
    assert one.running == 4


async def test_a_waiter_that_leaves_when_its_turn_came_gives_the_place_back() -> None:
    one = gate(Clock())
    tickets = [await one.enter() for _ in range(4)]
    waiter = asyncio.create_task(one.enter())
    await asyncio.sleep(0)
    one.leave(tickets[0])
    waiter.cancel()
    await asyncio.gather(waiter, return_exceptions=True)
    assert one.running == 3


@dataclass
class Served:
    http: httpx2.AsyncClient
    gate: BackgroundGate
    begun: asyncio.Queue[bool]
    go: asyncio.Event


@pytest.fixture
async def served() -> AsyncIterator[Served]:
    """A route that says whether its request was background, once it may."""
    app = FastAPI()
    begun: asyncio.Queue[bool] = asyncio.Queue()
    go = asyncio.Event()

    @app.post("/v1/chat/completions")
    async def chat(request: Request) -> JSONResponse:
        await begun.put(is_background(request))
        await go.wait()
        return JSONResponse({"background": is_background(request)})

    one = gate(Clock(), wait_s=0.01)

    async def with_state(scope, receive, send):  # type: ignore[no-untyped-def]  # noqa: ANN001, ANN202
        scope["state"] = {"trace": TraceDraft()}
        await Background(app, one)(scope, receive, send)

    transport = httpx2.ASGITransport(app=with_state)
    async with httpx2.AsyncClient(transport=transport, base_url="http://everloop") as http:
        yield Served(http, one, begun, go)


async def test_a_user_breaks_off_background_answers_that_have_not_begun(served: Served) -> None:
    path = "/v1/chat/completions"
    behind = [asyncio.create_task(served.http.post(path, headers=BACKGROUND)) for _ in range(4)]
    for _ in behind:
        assert await served.begun.get() is True
    user = asyncio.create_task(served.http.post(path))
    assert await served.begun.get() is False
    broken, _ = await asyncio.wait(behind, timeout=5, return_when=asyncio.FIRST_COMPLETED)
    served.go.set()
    answers = [await one for one in behind]
    assert sorted(answer.status_code for answer in answers) == [200, 429, 429, 429]
    refused = next(answer for answer in answers if answer.status_code == 429)
    assert refused.headers["retry-after"] == "3"
    assert refused.json()["error"]["code"] == "background_deferred"
    assert (await user).json() == {"background": False}
    assert broken and served.gate.running == 0


async def test_an_unknown_priority_is_refused(served: Served) -> None:
    answer = await served.http.post(
        "/v1/chat/completions", headers={"x-everloop-priority": "urgent"}
    )
    assert answer.status_code == 400
    assert "allowed: background, live" in answer.json()["error"]["message"]


async def test_the_header_reaches_the_model_and_the_trace(
    http: httpx2.AsyncClient, parts: Services
) -> None:
    model = cast(FakeModel, next(iter(parts.models.values())))
    model.answer = '{"choices": []}'
    body = {"model": "assistant", "messages": [{"role": "user", "content": "Hello?"}]}
    for headers in (BACKGROUND, {}):
        answer = await http.post("/v1/chat/completions", json=body, headers=headers)
        assert answer.status_code == 200
    assert [call.background for call in model.calls] == [True, False]
    await parts.traces.flush()
    with parts.database.session(read_only=True) as session:
        traces = list(session.scalars(select(Trace).order_by(Trace.id)))
    assert [trace.body.get("background") for trace in traces] == [True, None]


class Stream:
    """A replica's answer through a handle."""

    def __aiter__(self) -> "Stream":
        return self

    async def __anext__(self) -> Part:
        return Part(b"x")

    def cancel(self) -> None:
        """Nothing runs."""


async def test_only_calls_of_users_are_reported_as_load() -> None:
    handle = SimpleNamespace(generate=SimpleNamespace(remote=lambda call: Stream()))
    handle.options = lambda stream: handle
    model = ModelHandle(cast(Any, handle), "m")
    calls = [ModelCall("chat", {}, "r", background=background) for background in (True, False)]
    streams = [cast(Any, model.generate(call)) for call in calls]
    for stream in streams:
        await anext(stream)
    assert model.in_flight == 1
    for stream in streams:
        await stream.aclose()
    assert model.in_flight == 0
