"""A model behind its queue, and what a call is expected to take."""

import asyncio
from collections.abc import AsyncGenerator
from typing import Any

import pytest

from cluster.adapters import AdapterFiles
from cluster.sections.limits import LimitsSettings
from cluster.settings import ModelSettings
from cluster.tenancy import acting_in
from deployments.errors import InvalidRequest, Overloaded, RequestError
from deployments.gateway.queued_model import QueuedModel, queue_of
from deployments.gateway.token_estimate import asked_tokens, estimate_tokens
from deployments.limits.lease import Lease, holding
from deployments.limits.model_queue import Capacity, ModelQueue
from deployments.model.messages import ModelCall, ModelLoad, Part, Usage
from tests.fakes.meter import RememberingMeter

MESSAGES = [{"role": "user", "content": "x" * 400}]


class HeldModel:
    """Answers once it may; says how many replicas it has."""

    def __init__(self) -> None:
        self.calls: list[ModelCall] = []
        self.closed = 0
        self.go = asyncio.Event()
        self.failure: RequestError | None = None
        self.load_now = ModelLoad(replicas=1, capacity=1)

    async def generate(self, call: ModelCall) -> AsyncGenerator[Part, None]:
        self.calls.append(call)
        try:
            if self.failure is not None:
                raise self.failure
            await self.go.wait()
            yield Part(b"one", token_ids=(1, 2, 3, 4))
            yield Part(b"two", Usage(3, 2))
        finally:
            self.closed += 1

    async def prepare(self, adapter: AdapterFiles) -> int:
        return 1

    async def forget(self, adapter_id: str) -> int:
        return 1

    async def load(self) -> ModelLoad:
        return self.load_now


def call(deadline_s: float = 100.0, *, background: bool = False, **body: Any) -> ModelCall:
    told = {"messages": MESSAGES, "max_tokens": 50, **body}
    return ModelCall("chat", told, "req", deadline_s, None, background)


def queued(model: HeldModel, calls: int = 1, tokens: float = 1e9) -> QueuedModel:
    queue = ModelQueue(Capacity(calls, tokens), max_waiting=4, max_waiting_per_project=2)
    return QueuedModel(model, queue, model_id="base", replica_tokens=tokens, context_tokens=2048)


async def whole(model: QueuedModel, one: ModelCall, project: str = "one") -> list[bytes]:
    with acting_in(project):
        return [part.data async for part in model.generate(one)]


async def settle() -> None:
    for _ in range(10):
        await asyncio.sleep(0)


async def test_calls_wait_their_turn_and_get_what_is_left_of_their_time() -> None:
    inner = HeldModel()
    model = queued(inner)
    tasks = [asyncio.create_task(whole(model, call(10.0))) for _ in range(2)]
    await settle()
    assert (len(inner.calls), model.in_flight) == (1, 2)
    await asyncio.sleep(0.05)
    inner.go.set()
    assert await asyncio.gather(*tasks) == [[b"one", b"two"]] * 2
    assert inner.calls[0].deadline_s == pytest.approx(10.0, abs=0.04)
    assert inner.calls[1].deadline_s <= 9.95
    assert (model.in_flight, model.queue.running) == (0, 0)


async def test_a_caller_that_leaves_stops_the_model_and_frees_its_place() -> None:
    inner = HeldModel()
    inner.go.set()
    model = queued(inner)
    parts = model.generate(call())
    assert (await anext(parts)).data == b"one"
    await parts.aclose()
    assert (inner.closed, model.queue.running) == (1, 0)


@pytest.mark.parametrize(
    ("read", "counted"),
    [(2, [(3, 2)]), (1, [(108, 4)]), (0, [(108, 0)])],
    ids=["to its end", "after its first part", "before"],
)
async def test_what_a_call_used_counts_also_where_its_caller_leaves(
    read: int, counted: list[tuple[int, int]]
) -> None:
    inner, meter = HeldModel(), RememberingMeter(price=1.0)
    lease = Lease("one", "key", (), meter=meter)
    parts = queued(inner).generate(call(model="m@1"))
    with holding(lease):
        reading = asyncio.ensure_future(anext(parts))
        await settle()
        if read:
            inner.go.set()
            await reading
        else:
            reading.cancel()
            await asyncio.wait([reading])
        for _ in range(read - 1):
            await anext(parts)
        await parts.aclose()
    assert meter.found == [("key", "m@1", *one, float(sum(one))) for one in counted]


async def test_a_call_that_the_model_or_its_queue_refuses_counts_nothing() -> None:
    inner, meter = HeldModel(), RememberingMeter(price=1.0)
    lease = Lease("one", "key", (), meter=meter)
    inner.failure = InvalidRequest("no")
    with holding(lease):
        with pytest.raises(InvalidRequest):
            await whole(queued(inner), call())
        full = QueuedModel(inner, ModelQueue(Capacity(1), max_waiting=0, max_waiting_per_project=0))
        async with full.queue.place("other", 1, 100.0):
            with pytest.raises(Overloaded):
                await whole(full, call())
    assert meter.found == []


async def test_how_long_an_answer_takes_is_learnt_also_where_nobody_reads_on() -> None:
    inner = HeldModel()
    model = queued(inner)
    parts = model.generate(call())
    reading = asyncio.ensure_future(anext(parts))
    await asyncio.sleep(0.02)
    inner.go.set()
    await reading
    await anext(parts)  # the last part, as its usage says
    await parts.aclose()
    inner.go.clear()
    running = asyncio.create_task(whole(model, call()))
    await settle()
    with pytest.raises(Overloaded):
        await whole(model, call(deadline_s=0.03))
    inner.go.set()
    await running


async def test_calls_are_let_in_by_their_tokens() -> None:
    inner = HeldModel()
    model = queued(inner, calls=10, tokens=250)  # a prompt of about 100 and an answer of 50
    tasks = [asyncio.create_task(whole(model, call())) for _ in range(2)]
    await settle()
    assert len(inner.calls) == 1
    inner.go.set()
    await asyncio.gather(*tasks)


async def test_background_calls_are_no_load_and_projects_wait_apart() -> None:
    inner = HeldModel()
    model = queued(inner)
    tasks = [asyncio.create_task(whole(model, call(), "noisy")) for _ in range(3)]
    tasks.append(asyncio.create_task(whole(model, call(background=True), "quiet")))
    await settle()
    assert (model.in_flight, model.queue.waiting) == (3, 3)
    with pytest.raises(Overloaded):
        await whole(model, call(), "noisy")
    inner.go.set()
    await asyncio.gather(*tasks)


async def test_replicas_that_came_are_used_while_calls_wait() -> None:
    inner = HeldModel()
    model = queued(inner)
    inner.load_now = ModelLoad(replicas=3, capacity=3)
    tasks = [asyncio.create_task(whole(model, call(), str(n))) for n in range(3)]
    await settle()
    assert len(inner.calls) == 3
    inner.go.set()
    await asyncio.gather(*tasks)


def test_a_gateway_replica_has_its_share_of_the_places() -> None:
    settings = ModelSettings(
        id="model", max_ongoing_requests=10, min_replicas=2, max_replicas=4, capacity_tokens=1000
    )
    queue = queue_of(settings, LimitsSettings(), 4)
    assert queue._capacity == Capacity(5, 500)


@pytest.mark.parametrize(
    ("body", "prompt", "answer"),
    [
        ({"prompt": "x" * 40}, 10, 256),
        ({"prompt": ["x" * 40, "x" * 4], "n": 2, "max_tokens": 5}, 11, 20),
        ({"prompt": [1, 2, 3]}, 3, 256),
        ({"prompt": [[1, 2], [3]], "max_tokens": 1}, 3, 2),
        ({"messages": [{"role": "user", "content": "x" * 40}]}, 18, 256),
        (
            {
                "messages": [{"content": [{"type": "text", "text": "x" * 40}, {"type": "image"}]}],
                "max_completion_tokens": 7,
                "max_tokens": 9,
            },
            18,
            7,
        ),
        ({"messages": "wrong", "max_tokens": -5, "n": "two"}, 0, 1),
    ],
)
def test_what_a_body_is_expected_to_take(body: dict[str, Any], prompt: int, answer: int) -> None:
    assert estimate_tokens(body, None, 256) == (prompt, answer)


@pytest.mark.parametrize("asked", [{}, {"n": 10**10}])
async def test_an_answer_of_any_length_leaves_the_queue_fair(asked: dict[str, Any]) -> None:
    """Nobody has checked the body yet; a cost beyond all others would end the order for good."""
    inner = HeldModel()
    inner.go.set()
    model = queued(inner)
    for _ in range(2):
        await whole(model, call(max_tokens=10**305, **asked), "noisy")
    inner.go.clear()
    tasks = [
        asyncio.create_task(whole(model, call(user=name), name))
        for name in ("noisy", "noisy", "noisy", "quiet")
    ]
    await settle()
    inner.go.set()
    await asyncio.gather(*tasks)
    order = [one.body["user"] for one in inner.calls[2:]]
    assert order == ["noisy", "quiet", "noisy", "noisy"]


def test_no_answer_is_longer_than_the_context() -> None:
    body = {"prompt": ["x", "y"], "max_tokens": 10**300, "n": 10**300}
    assert estimate_tokens(body, None, 256, 2048) == (0, 2048 * 128 * 2)
    assert estimate_tokens({"prompt": "x"}, None, 256, 100).answer == 100


def test_true_is_no_number_of_tokens() -> None:
    assert asked_tokens({"max_tokens": True}) is None
