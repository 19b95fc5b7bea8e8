"""Replicas on a real Serve that are killed or stopped in the middle of an answer."""

import asyncio
import json
import os
import signal
import time
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import psutil
import pytest

from cluster.settings import ModelSettings
from deployments.handles import ModelHandle
from deployments.model.messages import ModelCall, Part
from tests.fakes import engine as fake_engine
from tests.fakes import light_model as light
from tests.fakes.light_model import light_model
from tests.fixtures.ray_cluster import SharedRay

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]

WORDS: Final = 150
"""Three seconds of them."""
SILENCE_S: Final = 2.0


@pytest.fixture(scope="module")
def pair(shared_ray: SharedRay) -> Iterator[Any]:
    """A handle of a model of two replicas."""
    from ray import cloudpickle, serve

    for module in (light, fake_engine):  # so that no worker imports tests
        cloudpickle.register_pickle_by_value(module)
    settings = ModelSettings(id="pair", min_replicas=2, max_replicas=2)
    with shared_ray.joined("lost"):
        serve.start(proxy_location="Disabled")
        application = light_model("pair", settings, health_check_timeout_s=1.0)
        yield serve.run(application, name="pair", route_prefix=None)
        serve.shutdown()


def model(pair: Any) -> ModelHandle:
    return ModelHandle(pair, "pair", silence_s=SILENCE_S)


def call() -> ModelCall:
    options = {"stream": True, "stream_options": {"include_usage": True}}
    return ModelCall("chat", {**options, "words": WORDS}, "one", deadline_s=60)


def said(parts: list[Part]) -> str:
    """The answer's text. Fails where the stream has no end."""
    data = b"".join(part.data for part in parts)
    assert data.endswith(b"data: [DONE]\n\n")
    events = [json.loads(line[6:]) for line in data.split(b"\n\n") if line.startswith(b"data: {")]
    assert events[-1]["usage"]["completion_tokens"] == WORDS
    choices = [choice for event in events for choice in event["choices"]]
    return "".join(choice["delta"]["content"] for choice in choices)


async def loads(pair: Any, replicas: int = 2) -> dict[int, int]:
    """Calls in flight by process id, once there are so many replicas."""
    async with asyncio.timeout(60):
        while True:
            try:
                answers = await pair.broadcast("load").results_async(
                    timeout_s=2, return_exceptions=True
                )
            except TimeoutError:
                continue
            told = [answer for answer in answers if not isinstance(answer, Exception)]
            if len(told) == replicas:
                return dict(told)


async def taken(pair: Any, parts: list[Part]) -> tuple[AsyncIterator[Part], int]:
    """A stream that has begun, and the process that answers it."""
    await loads(pair)
    stream = model(pair).generate(call())
    while sum(len(part.token_ids) for part in parts) < 5:
        parts.append(await anext(stream))
    async with asyncio.timeout(20):
        while True:
            busy = [pid for pid, running in (await loads(pair)).items() if running]
            if busy:
                return stream, busy[0]


async def test_an_answer_outlives_a_killed_replica(pair: Any) -> None:
    parts: list[Part] = []
    stream, victim = await taken(pair, parts)
    os.kill(victim, signal.SIGKILL)
    parts += [part async for part in stream]
    assert said(parts) == " ".join(f"w{number}" for number in range(WORDS))
    (resumed,) = (part.resumed for part in parts if part.resumed is not None)
    assert resumed.reason == "its replica died"
    assert resumed.position >= 5


async def test_an_answer_outlives_a_stopped_replica_which_is_replaced(pair: Any) -> None:
    parts: list[Part] = []
    stream, victim = await taken(pair, parts)
    stopped = psutil.Process(victim)
    stopped.suspend()
    try:
        began = time.monotonic()
        longest = 0.0
        async for part in stream:
            now = time.monotonic()
            longest, began = max(longest, now - began), now
            parts.append(part)
        assert said(parts) == " ".join(f"w{number}" for number in range(WORDS))
        (resumed,) = (part.resumed for part in parts if part.resumed is not None)
        assert "no sign of life" in resumed.reason
        assert longest < SILENCE_S + 5
        deadline = time.monotonic() + 60
        while stopped.is_running() and stopped.status() != psutil.STATUS_ZOMBIE:
            assert time.monotonic() < deadline, "the stopped replica was not killed"
            await asyncio.sleep(0.2)
    finally:
        if stopped.is_running():
            stopped.resume()
    assert victim not in await loads(pair)
