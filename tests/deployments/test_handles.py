"""Handles over a real Serve application: Ray's errors become ours, a stream that is left stops."""

import asyncio
import os
import sys
from collections.abc import AsyncIterator, Iterator
from typing import Any

import pytest

from deployments.errors import (
    DeadlineExceeded,
    InvalidRequest,
    Overloaded,
    Unavailable,
)
from deployments.handles import EmbedderHandle, ModelHandle, RetrieverHandle
from deployments.model.messages import ModelCall, Part
from deployments.ports import EmbeddedTexts
from deployments.retriever.messages import SearchRequest
from tests.fixtures.ray_cluster import SharedRay

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


class Replica:
    """Does what its text says."""

    def __init__(self) -> None:
        self._release = asyncio.Event()
        self._stopped = asyncio.Event()

    async def embed(self, texts: list[str], *, priority: str) -> EmbeddedTexts:
        if texts == ["refuse"]:
            raise InvalidRequest("Refused.", param="input.0", code="refused")
        if texts == ["break"]:
            raise KeyError("a bug")
        if texts == ["wait"]:
            await self._release.wait()
        if texts == ["die"]:
            os._exit(1)
        return EmbeddedTexts(vectors=[[1.0] for _ in texts], tokens=[1 for _ in texts])

    async def release(self) -> None:
        self._release.set()

    async def search(self, request: SearchRequest) -> None:
        await self._release.wait()

    async def generate(self, call: ModelCall) -> AsyncIterator[Part]:
        if call.request_id == "refuse":
            raise InvalidRequest("Too long.", code="context_length_exceeded")
        try:
            for n in range(10**6):
                yield Part(data=str(n).encode())
                await asyncio.sleep(0.001)
        finally:
            self._stopped.set()

    async def stopped(self) -> None:
        await self._stopped.wait()


@pytest.fixture(scope="module")
def handles(shared_ray: SharedRay) -> Iterator[dict[str, Any]]:
    """Applications `plain` and `narrow` (one request at work, one waiting)."""
    from ray import cloudpickle, serve

    cloudpickle.register_pickle_by_value(sys.modules[__name__])  # so that no worker imports tests
    light = {"num_cpus": 0.1}
    plain = serve.deployment(Replica, name="plain", ray_actor_options=light)
    narrow = serve.deployment(
        Replica,
        name="narrow",
        max_ongoing_requests=1,
        max_queued_requests=1,
        ray_actor_options=light,
    )
    mortal = serve.deployment(Replica, name="mortal", ray_actor_options=light)
    with shared_ray.joined("handles"):
        serve.start(proxy_location="Disabled")
        yield {
            built.name: serve.run(built.bind(), name=built.name, route_prefix=None)
            for built in (plain, narrow, mortal)
        }
        serve.shutdown()


def _call(request_id: str = "one") -> ModelCall:
    return ModelCall(kind="chat", body={}, request_id=request_id)


async def test_an_answer_comes_back(handles: dict[str, Any]) -> None:
    embedded = await EmbedderHandle(handles["plain"]).embed(["a", "b"])
    assert embedded.vectors == [[1.0], [1.0]]


async def test_an_error_that_the_client_may_know_arrives_as_it_was(
    handles: dict[str, Any],
) -> None:
    with pytest.raises(InvalidRequest) as caught:
        await EmbedderHandle(handles["plain"]).embed(["refuse"])
    assert type(caught.value) is InvalidRequest
    assert (caught.value.message, caught.value.param) == ("Refused.", "input.0")


async def test_a_bug_stays_a_bug(handles: dict[str, Any]) -> None:
    with pytest.raises(KeyError, match="a bug"):
        await EmbedderHandle(handles["plain"]).embed(["break"])


async def test_an_answer_that_does_not_come_is_a_deadline(handles: dict[str, Any]) -> None:
    slow = RetrieverHandle(handles["plain"], timeout_s=0.2)
    with pytest.raises(DeadlineExceeded, match=r"The Retriever .* 0\.2 s"):
        await slow.search(SearchRequest("p", (), "x"))


async def test_a_search_is_waited_for_until_the_requests_deadline(handles: dict[str, Any]) -> None:
    slow = RetrieverHandle(handles["plain"], timeout_s=60)
    with pytest.raises(DeadlineExceeded, match=r"The Retriever .* 0\.2 s"):
        await slow.search(SearchRequest("p", (), "x", deadline_s=0.2))


async def test_a_stream_that_is_left_stops_the_replica(handles: dict[str, Any]) -> None:
    model = ModelHandle(handles["plain"], "tiny")
    stream = model.generate(_call())
    assert (await anext(stream)).data == b"0"
    await stream.aclose()
    await asyncio.wait_for(handles["plain"].stopped.remote(), timeout=20)


async def test_an_error_before_the_first_part_arrives_as_it_was(handles: dict[str, Any]) -> None:
    with pytest.raises(InvalidRequest, match="Too long") as caught:
        await anext(ModelHandle(handles["plain"], "tiny").generate(_call("refuse")))
    assert caught.value.code == "context_length_exceeded"


async def test_a_call_that_no_replica_will_take_is_given_up(handles: dict[str, Any]) -> None:
    async def check() -> None:
        raise Unavailable("tiny has no running replica.", code="no_replica", retry_after_s=10)

    narrow = handles["narrow"].options(stream=True)
    busy = narrow.generate.remote(_call())
    assert (await anext(busy)).data == b"0"
    model = ModelHandle(handles["narrow"], "tiny", check=check, replica_wait_s=0.2)
    with pytest.raises(Unavailable) as caught:
        await anext(model.generate(_call()))
    assert (caught.value.code, caught.value.retry_after_s) == ("no_replica", 10)
    busy.cancel()


async def test_a_call_waits_on_while_a_replica_runs(handles: dict[str, Any]) -> None:
    narrow = handles["narrow"].options(stream=True)
    checked = asyncio.Event()

    async def check() -> None:
        checked.set()

    busy = narrow.generate.remote(_call())
    assert (await anext(busy)).data == b"0"
    stream = ModelHandle(handles["narrow"], "tiny", check=check, replica_wait_s=0.1).generate(
        _call()
    )
    waiting = asyncio.ensure_future(anext(stream))
    await asyncio.wait_for(checked.wait(), timeout=10)
    assert not waiting.done()
    busy.cancel()
    assert (await asyncio.wait_for(waiting, timeout=20)).data == b"0"
    await stream.aclose()


async def test_a_full_queue_says_when_to_come_back(handles: dict[str, Any]) -> None:
    narrow = EmbedderHandle(handles["narrow"], retry_after_s=7)
    waiting = [asyncio.create_task(narrow.embed(["wait"])) for _ in range(6)]
    done, pending = await asyncio.wait(waiting, timeout=20, return_when=asyncio.FIRST_EXCEPTION)
    refused = [task.exception() for task in done]
    assert refused
    assert all(isinstance(error, Overloaded) for error in refused)
    assert {error.retry_after_s for error in refused if isinstance(error, Overloaded)} == {7}
    for task in pending:
        task.cancel()
    await asyncio.wait(pending)


async def test_a_replica_that_dies_is_unavailable_and_comes_back(
    handles: dict[str, Any],
) -> None:
    mortal = EmbedderHandle(handles["mortal"])
    with pytest.raises(Unavailable, match="restarting") as caught:
        await mortal.embed(["die"])
    assert caught.value.retry_after_s == 2
    async with asyncio.timeout(60):
        while True:
            try:
                assert (await mortal.embed(["a"])).vectors == [[1.0]]
                break
            except Unavailable:
                continue
