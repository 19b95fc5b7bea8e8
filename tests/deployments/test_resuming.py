"""A model's call that outlives its replicas, from the handle down to the engine's edge."""

import dataclasses
import json
from typing import Any

import pytest

from deployments.errors import DeadlineExceeded, InvalidRequest, Unavailable, Unprocessable
from deployments.handles import ModelHandle
from deployments.model.messages import ModelCall, Part, Resumed, Usage
from tests.fakes.engine import FakeEngine
from tests.fakes.replicas import FakeReplicas, Fate

WORDS = 5
MESSAGES = WORDS + 1  # the usage, which the client asked for, and the end come together


def call(**body: Any) -> ModelCall:
    options = {"stream": True, "stream_options": {"include_usage": True}}
    return ModelCall("chat", {**options, **body}, "req-1", deadline_s=20)


def replicas(*fates: Fate, **more: Any) -> FakeReplicas:
    return FakeReplicas(FakeEngine(words=WORDS, pace_s=0.005), list(fates), **more)


def handle(asked: FakeReplicas, silence_s: float = 10.0) -> ModelHandle:
    return ModelHandle(asked, "m", silence_s=silence_s)


async def answer(model: ModelHandle, asked: ModelCall) -> list[Part]:
    return [part async for part in model.generate(asked)]


def joined(parts: list[Part]) -> bytes:
    return b"".join(part.data for part in parts)


def text(data: bytes) -> str:
    events = [json.loads(line[6:]) for line in data.split(b"\n\n") if line.startswith(b"data: {")]
    choices = [choice for event in events for choice in event["choices"]]
    return "".join(choice["delta"]["content"] for choice in choices)


@pytest.mark.parametrize("cut", range(MESSAGES + 1))
async def test_wherever_it_is_cut_the_answer_is_the_undisturbed_one(cut: int) -> None:
    whole = await answer(handle(replicas()), call())
    cut_replicas = replicas(Fate(cut))
    parts = await answer(handle(cut_replicas), call())
    assert joined(parts) == joined(whole)
    assert text(joined(parts)) == "w0 w1 w2 w3 w4"
    assert [token for part in parts for token in part.token_ids] == [0, 1, 2, 3, 4]
    assert parts[-1].usage == Usage(3, WORDS)
    assert len(cut_replicas.calls) == 1 + (cut < MESSAGES)


@pytest.mark.parametrize("second", range(1, 4))
@pytest.mark.parametrize("first", range(1, 4))
async def test_a_second_replica_may_be_lost_too(first: int, second: int) -> None:
    cut = replicas(Fate(first), Fate(second))
    parts = await answer(handle(cut), call())
    assert text(joined(parts)) == "w0 w1 w2 w3 w4"
    resumed = [part.resumed for part in parts if part.resumed is not None]
    reason = "its replica died"
    expected = [Resumed(first, reason)]
    if first + second <= WORDS:
        expected.append(Resumed(first + second, reason))
    assert resumed == expected


async def test_a_body_is_generated_again() -> None:
    cut = replicas(Fate(0))
    (part,) = await answer(handle(cut), call(stream=False))
    assert json.loads(part.data)["choices"][0]["message"]["content"] == "w0 w1 w2 w3 w4"
    assert part.resumed == Resumed(0, "its replica died")


async def test_an_engine_that_fails_is_a_lost_replica() -> None:
    failed = Unavailable("dead", code="engine_failed")
    parts = await answer(handle(replicas(Fate(2, failed))), call())
    assert text(joined(parts)) == "w0 w1 w2 w3 w4"


async def test_a_stream_that_just_stops_is_a_lost_replica() -> None:
    class Stopping(FakeReplicas):
        def remote(self, asked: ModelCall) -> Any:
            response = super().remote(asked)
            if len(self.calls) == 1:
                return _First(response)
            return response

    class _First:
        def __init__(self, response: Any) -> None:
            self._response, self._left = response, 2

        async def __anext__(self) -> Part:
            self._left -= 1
            if self._left < 0:
                raise StopAsyncIteration
            return await anext(self._response)

    parts = await answer(handle(Stopping(FakeEngine(words=WORDS, pace_s=0.005))), call())
    assert text(joined(parts)) == "w0 w1 w2 w3 w4"


async def test_what_is_refused_is_refused_once() -> None:
    refusing = replicas(Fate(1, InvalidRequest("no", param="n")))
    with pytest.raises(InvalidRequest):
        await answer(handle(refusing), call())
    assert len(refusing.calls) == 1


async def test_a_request_that_fails_replicas_is_not_tried_on_a_third() -> None:
    poisoned = replicas(Fate(2), Fate(0), Fate(0))
    with pytest.raises(Unprocessable, match="failed twice"):
        await answer(handle(poisoned), call())
    assert len(poisoned.calls) == 2


async def test_a_silent_replica_is_left_and_another_goes_on() -> None:
    silent = replicas(Fate(2, None))
    parts = await answer(handle(silent, silence_s=0.05), call())
    assert text(joined(parts)) == "w0 w1 w2 w3 w4"
    (resumed,) = (part.resumed for part in parts if part.resumed is not None)
    assert resumed == Resumed(2, "its replica gave no sign of life for 0.05 s")
    assert silent.cancelled == 1


async def test_a_slow_replica_that_gives_signs_of_life_is_not_left() -> None:
    slow = FakeReplicas(FakeEngine(words=2, pace_s=0.4), beat_s=0.02)
    parts = await answer(handle(slow, silence_s=0.2), call())
    assert text(joined(parts)) == "w0 w1"
    assert all(part.data for part in parts)
    assert len(slow.calls) == 1


async def test_leaving_cancels_the_replica_that_is_asked_now() -> None:
    cut = replicas(Fate(2))
    model = handle(cut)
    parts = model.generate(call())
    for _ in range(3):
        await anext(parts)
    assert model.in_flight == 1
    await parts.aclose()
    assert cut.cancelled == 1
    assert model.in_flight == 0


async def test_a_call_waits_for_a_replica_that_is_about_to_start() -> None:
    told: list[str] = []

    async def check() -> None:
        told.append("starting")
        raise Unavailable("updating", code="replica_starting")

    slow = FakeReplicas(FakeEngine(words=1, pace_s=0.2))
    model = ModelHandle(slow, "m", check=check, replica_wait_s=0.05)
    assert text(joined(await answer(model, call()))) == "w0"
    assert told


async def test_a_resumed_call_waits_past_the_check_until_its_deadline() -> None:
    async def check() -> None:
        raise Unavailable("none", code="no_replica")

    class Gone(FakeReplicas):
        def remote(self, asked: ModelCall) -> Any:
            if self.calls:
                self.engine = FakeEngine(hangs=True)
            return super().remote(asked)

    gone = Gone(FakeEngine(words=WORDS, pace_s=0.005), [Fate(2)], beat_s=30)
    model = ModelHandle(gone, "m", check=check, replica_wait_s=0.05)
    with pytest.raises(DeadlineExceeded):
        await answer(model, dataclasses.replace(call(), deadline_s=0.6))
    assert len(gone.calls) == 2
