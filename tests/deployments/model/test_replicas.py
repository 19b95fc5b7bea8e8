"""Replicas on a real Serve: queues that are bounded, replicas that follow the load, hung engines.

The engine is light; the options, the replica's methods and Serve are the real ones.
"""

import asyncio
import json
import time
from collections.abc import AsyncGenerator, Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.adapters import AdapterFiles, store_adapter
from cluster.settings import ModelSettings
from cluster.storage import ByteStore
from deployments.errors import InvalidRequest, Overloaded
from deployments.handles import ModelHandle
from deployments.model.deployment import AdapterPlace
from deployments.model.messages import ModelCall, Part
from deployments.model.serving import ReplicaStats
from tests.fakes import engine as fake_engine
from tests.fakes import light_model as light
from tests.fakes.light_model import light_model
from tests.fixtures.ray_cluster import SharedRay

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="module")]


@pytest.fixture(scope="module")
def place(tmp_path_factory: pytest.TempPathFactory) -> AdapterPlace:
    """Where the replicas find and keep adapters."""
    folder = tmp_path_factory.mktemp("adapters")
    return AdapterPlace(f"file://{folder}/store", {}, folder / "replicas")


@pytest.fixture(scope="module")
def deploy(shared_ray: SharedRay, place: AdapterPlace) -> Iterator[Callable[..., Any]]:
    """Deploys a model under a name with settings; returns its handle."""
    from ray import cloudpickle, serve

    for module in (light, fake_engine):  # so that no worker imports tests
        cloudpickle.register_pickle_by_value(module)

    def deployed(name: str, **values: Any) -> Any:
        application = light_model(name, ModelSettings(id=name, **values), place)
        return serve.run(application, name=name, route_prefix=None)

    with shared_ray.joined("replicas"):
        serve.start(proxy_location="Disabled")
        yield deployed
        serve.shutdown()


def call(
    request_id: str = "one", words: int = 10**6, adapter: AdapterFiles | None = None
) -> ModelCall:
    return ModelCall("chat", {"stream": True, "words": words}, request_id, adapter=adapter)


async def started(
    handle: Any, name: str, count: int, adapter: AdapterFiles | None = None
) -> list[AsyncGenerator[Part, None]]:
    """`count` streams that each have sent their first part."""
    streams = [
        ModelHandle(handle, name).generate(call(str(n), adapter=adapter)) for n in range(count)
    ]
    await asyncio.gather(*(anext(stream) for stream in streams))
    return streams


async def left(streams: list[AsyncGenerator[Part, None]]) -> None:
    for stream in streams:
        await stream.aclose()


def stored(place: AdapterPlace, folder: Path, rank: int = 4) -> AdapterFiles:
    """An adapter in the store."""
    (folder / "adapter_config.json").write_text(json.dumps({"r": rank}))
    (folder / "adapter_model.safetensors").write_bytes(b"weights")
    store = ByteStore(place.store_url)
    return store_adapter(store, folder, base="m", suffix="s", project="proj_default")


@pytest.fixture(scope="module")
def pair(deploy: Callable[..., Any]) -> Any:
    """A handle of a model of two replicas."""
    return deploy("pair", min_replicas=2, max_replicas=2)


async def both_idle(pair: Any) -> ModelHandle:
    """The model, once its handle knows both replicas and they do nothing."""
    model = ModelHandle(pair, "pair")
    async with asyncio.timeout(60):
        while (load := await model.load()).replicas < 2 or load.unfinished:
            continue
    return model


async def test_an_adapter_is_prepared_on_every_replica(
    pair: Any, place: AdapterPlace, tmp_path: Path
) -> None:
    model = await both_idle(pair)
    adapter = stored(place, tmp_path)
    assert await model.prepare(adapter) == 2
    both = await pair.broadcast("stats").results_async()
    assert [stats.adapters for stats in both] == [(adapter.id,), (adapter.id,)]
    owned = [
        path for path in place.folder.glob("replica_*") if path.is_dir() and any(path.iterdir())
    ]
    assert len(owned) == 2
    with pytest.raises(InvalidRequest, match="rank 64"):
        await model.prepare(stored(place, tmp_path, rank=64))
    await left(await started(pair, "pair", 1, adapter))


async def test_the_load_is_that_of_all_replicas(pair: Any) -> None:
    model = await both_idle(pair)
    streams = await started(pair, "pair", 3)
    load = await model.load()
    assert (load.replicas, load.running, load.unfinished, load.capacity) == (2, 3, 3, 16)
    await left(streams)


async def test_a_full_queue_is_429_and_says_when_to_come_back(deploy: Callable[..., Any]) -> None:
    handle = deploy("narrow", max_ongoing_requests=1, max_queued_requests=1)
    streams = await started(handle, "narrow", 1)
    waiting = asyncio.ensure_future(anext(ModelHandle(handle, "narrow").generate(call("waits"))))
    async with asyncio.timeout(20):
        while True:  # until the one that waits has its place in the queue
            probe = asyncio.ensure_future(
                anext(ModelHandle(handle, "narrow").generate(call("too many")))
            )
            await asyncio.wait({probe}, timeout=1)
            if probe.done():
                break
            probe.cancel()
    with pytest.raises(Overloaded) as refused:
        probe.result()
    assert refused.value.retry_after_s
    await left(streams)
    assert (await waiting).data


async def test_a_client_that_goes_frees_its_place(deploy: Callable[..., Any]) -> None:
    handle = deploy("leaving", max_ongoing_requests=1, max_queued_requests=1)
    await left(await started(handle, "leaving", 1))
    async with asyncio.timeout(10):
        stats: ReplicaStats = await handle.stats.remote()
        while stats.running or stats.unfinished:
            stats = await handle.stats.remote()
    assert stats.stopped_early == 1


async def test_many_streams_are_sent_in_fewer_messages(deploy: Callable[..., Any]) -> None:
    handle = deploy("loaded", max_ongoing_requests=32)

    async def messages(count: int) -> float:
        async def one(n: int) -> int:
            model = ModelHandle(handle, "loaded")
            return sum([1 async for _ in model.generate(call(str(n), words=30))])

        return sum(await asyncio.gather(*(one(n) for n in range(count)))) / count

    alone = await messages(1)
    together = await messages(16)
    assert alone >= 25
    assert together < 0.75 * alone  # up to four tokens a message, fewer as the streams end


async def test_replicas_follow_the_load(deploy: Callable[..., Any]) -> None:
    from ray import serve

    handle = deploy("elastic", min_replicas=1, max_replicas=2, target_ongoing_requests=2)
    streams = await started(handle, "elastic", 8)

    def running() -> int:
        replicas = serve.status().applications["elastic"].deployments["elastic"].replica_states
        return int(replicas.get("RUNNING", 0))

    assert running() == 1
    deadline = time.monotonic() + 60
    while await asyncio.to_thread(running) < 2:
        assert time.monotonic() < deadline, "no second replica came"
        await asyncio.sleep(0.2)
    await left(streams)


async def test_a_replica_whose_engine_hangs_is_replaced(deploy: Callable[..., Any]) -> None:
    handle = deploy("hanging", stall_timeout_s=0.5)
    streams = await started(handle, "hanging", 1)
    hung = await handle.hang.remote()
    deadline = time.monotonic() + 60
    while True:
        assert time.monotonic() < deadline, "the replica was not replaced"
        try:
            if await asyncio.wait_for(handle.pid.remote(), timeout=5) != hung:
                break
        except Exception:  # noqa: BLE001, S110 - while it is replaced, anything
            pass
        await asyncio.sleep(0.2)
    async with asyncio.timeout(30):
        while (part := await anext(streams[0])).resumed is None:
            continue
    assert part.resumed.reason in {"its engine failed", "its replica died"}
    await left(streams)
    (part, *_) = [part async for part in ModelHandle(handle, "hanging").generate(call("new", 1))]
    assert part.data
