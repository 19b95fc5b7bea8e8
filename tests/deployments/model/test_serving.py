"""One call on one engine."""

import asyncio
import json
from contextlib import aclosing
from dataclasses import replace
from typing import Any

import pytest

from cluster.adapters import AdapterFiles
from deployments.errors import DeadlineExceeded, InvalidRequest, Unavailable
from deployments.model.messages import ModelCall, Part, Usage
from deployments.model.serving import ChatServing
from tests.fakes.engine import FakeEngine


def call(deadline_s: float = 10.0, **body: Any) -> ModelCall:
    return ModelCall("chat", {"messages": [], **body}, "req-1", deadline_s)


async def parts_of(serving: ChatServing, request: ModelCall) -> list[Part]:
    return [part async for part in serving.generate(request)]


async def test_a_whole_answer_is_one_part_with_its_usage() -> None:
    (part,) = await parts_of(ChatServing(FakeEngine(words=2), 0), call())
    assert json.loads(part.data)["choices"][0]["message"]["content"] == "w0 w1"
    assert part.usage == Usage(3, 2)


async def test_a_stream_ends_with_done_and_its_last_part_has_the_usage() -> None:
    parts = await parts_of(ChatServing(FakeEngine(words=3), 0), call(stream=True))
    assert b"".join(part.data for part in parts).endswith(b"data: [DONE]\n\n")
    assert parts[-1].usage == Usage(3, 3)


@pytest.mark.parametrize("asked", [True, False])
async def test_the_client_sees_the_usage_only_if_it_asked(asked: bool) -> None:
    request = call(stream=True, stream_options={"include_usage": asked})
    parts = await parts_of(ChatServing(FakeEngine(), 0), request)
    assert (b'"usage"' in b"".join(part.data for part in parts)) is asked


async def test_the_first_token_is_sent_before_the_second_exists() -> None:
    serving = ChatServing(FakeEngine(words=10**6, pace_s=0.01), 10_000)
    async with aclosing(serving.generate(call(stream=True))) as parts, asyncio.timeout(2):
        first = await anext(parts)
    assert first.data.count(b"data: ") == 1


async def test_an_error_before_the_first_part_is_raised() -> None:
    engine = FakeEngine(failure=InvalidRequest("no", param="n"))
    with pytest.raises(InvalidRequest):
        await parts_of(ChatServing(engine, 0), call(stream=True))


async def test_an_error_in_a_started_stream_is_raised_after_what_was_said() -> None:
    engine = FakeEngine(failure=InvalidRequest("no", param="n"), fails_after=2)
    serving = ChatServing(engine, 0)
    said: list[int] = []
    with pytest.raises(InvalidRequest):
        async for part in serving.generate(call(stream=True)):
            said += part.token_ids
    assert said == [0, 1]
    assert serving.stats().failed == 1


@pytest.mark.parametrize("asked", [True, False])
async def test_parts_tell_their_tokens_and_the_client_sees_them_only_if_it_asked(
    asked: bool,
) -> None:
    serving = ChatServing(FakeEngine(words=3, created=77), 0)
    parts = await parts_of(serving, call(stream=True, return_token_ids=asked))
    assert [token for part in parts for token in part.token_ids] == [0, 1, 2]
    assert {part.created for part in parts} == {77}
    assert (b'"token_ids"' in b"".join(part.data for part in parts)) is asked


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_replica_that_has_nothing_to_say_gives_signs_of_life(streamed: bool) -> None:
    engine = FakeEngine(words=1, pace_s=0.5)
    serving = ChatServing(engine, 0, beat_s=0.1)
    *beats, last = await parts_of(serving, call(stream=streamed))
    assert last.data
    assert [part for part in beats if not part.data][:2] == [Part(b""), Part(b"")]


async def test_whatever_the_engine_raises_is_503() -> None:
    with pytest.raises(Unavailable, match="try again"):
        await parts_of(ChatServing(FakeEngine(failure=OSError("dead")), 0), call())


@pytest.mark.parametrize("streamed", [True, False])
async def test_the_deadline_stops_the_generation(streamed: bool) -> None:
    engine = FakeEngine(hangs=True)
    with pytest.raises(DeadlineExceeded):
        await parts_of(ChatServing(engine, 0), call(stream=streamed, deadline_s=0.05))
    assert engine.aborted == ["req-1"]


async def test_leaving_a_stream_stops_the_generation_and_is_counted() -> None:
    engine = FakeEngine(words=10**6, pace_s=0.001)
    serving = ChatServing(engine, 0)
    stream = serving.generate(call(stream=True))
    await anext(stream)
    assert serving.stats().running == 1
    await stream.aclose()
    stats = serving.stats()
    assert (stats.running, stats.unfinished, stats.stopped_early) == (0, 0, 1)
    assert engine.aborted == ["req-1"]


async def test_calls_that_give_way_are_counted_by_themselves() -> None:
    serving = ChatServing(FakeEngine(words=10**6, pace_s=0.001), 0)
    streams = [
        serving.generate(replace(call(stream=True), request_id=f"req-{n}", background=n > 0))
        for n in range(3)
    ]
    for stream in streams:
        await anext(stream)
    assert (serving.stats().running, serving.stats().background) == (3, 2)
    for stream in streams:
        await stream.aclose()
    assert (serving.stats().running, serving.stats().background) == (0, 0)


async def test_cancelling_a_whole_answer_stops_the_generation() -> None:
    engine = FakeEngine(hangs=True)
    serving = ChatServing(engine, 0)
    task = asyncio.create_task(parts_of(serving, call()))
    await engine.begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert engine.aborted == ["req-1"]
    assert serving.stats().stopped_early == 1


async def test_an_engine_that_answers_a_cancellation_with_an_error_is_still_cancelled() -> None:
    class Polite(FakeEngine):
        async def _step(self) -> None:
            try:
                await asyncio.Event().wait()
            except asyncio.CancelledError:
                raise InvalidRequest("Client disconnected") from None

    engine = Polite()
    serving = ChatServing(engine, 0)
    task = asyncio.create_task(parts_of(serving, call()))
    await engine.begun.wait()
    task.cancel()
    with pytest.raises(asyncio.CancelledError):
        await task
    assert serving.stats().failed == 0
    with pytest.raises(DeadlineExceeded):
        await parts_of(serving, call(deadline_s=0.05))


async def test_a_replica_without_adapters_refuses_a_call_for_one() -> None:
    adapter = AdapterFiles("ft:m:0", "proj/adapters/0", 8, ())
    engine = FakeEngine()
    request = ModelCall("chat", {"messages": []}, "req-1", adapter=adapter)
    with pytest.raises(InvalidRequest, match="max_adapters"):
        await parts_of(ChatServing(engine, 0), request)
    assert not engine.begun.is_set()
