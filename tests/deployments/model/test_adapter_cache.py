"""Adapters in an engine: brought once, put out by age, never under a call that uses them."""

import asyncio
import json
from collections.abc import AsyncIterator
from contextlib import AsyncExitStack, asynccontextmanager
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from cluster.adapters import AdapterFiles, store_adapter
from cluster.storage import ByteStore
from deployments.errors import InvalidRequest, Overloaded, Unavailable, Unprocessable
from deployments.model.adapter_cache import AdapterCache
from deployments.model.replica_folder import ReplicaFolder
from tests.fakes.engine import FakeAdapters


class Bench:
    """A cache over a light engine and a real store."""

    def __init__(
        self, folder: Path, most: int, longest_wait_s: float, store: ByteStore | None = None
    ) -> None:
        self.folder = folder
        self.store = store or ByteStore(f"file://{folder / 'store'}")
        self.engine = FakeAdapters(most)
        self.own = ReplicaFolder(folder / "replicas")
        self.cache = AdapterCache(
            self.engine, self.store, self.own, most=most, max_rank=16, longest_wait_s=longest_wait_s
        )

    def adapter(self, name: str, rank: int = 4) -> AdapterFiles:
        """An adapter in the store whose id ends with its name."""
        source = self.folder / "made" / name
        source.mkdir(parents=True, exist_ok=True)
        (source / "adapter_config.json").write_text(json.dumps({"r": rank}))
        (source / "adapter_model.safetensors").write_bytes(name.encode())
        stored = store_adapter(self.store, source, base="m", suffix=None, project="proj_default")
        return replace(stored, id=name)

    async def touch(self, *adapters: AdapterFiles) -> None:
        for adapter in adapters:
            async with self.cache.use(adapter, 5):
                pass

    @asynccontextmanager
    async def held(self, *adapters: AdapterFiles) -> AsyncIterator[None]:
        async with AsyncExitStack() as stack:
            for adapter in adapters:
                await stack.enter_async_context(self.cache.use(adapter, 5))
            yield

    def using(self, adapter: AdapterFiles, wait_s: float = 5) -> "asyncio.Task[None]":
        """A call that uses an adapter for a moment."""

        async def use() -> None:
            async with self.cache.use(adapter, wait_s):
                assert adapter.id in self.engine.loaded

        return asyncio.create_task(use())

    async def left(self, name: str) -> None:
        """Return once an adapter that was forgotten is out of the cache."""
        await asyncio.gather(*(task for task in self.cache._tasks if task.get_name() == name))

    def folders(self) -> int:
        return len(list(self.own.path.iterdir()))


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    return Bench(tmp_path, 2, 5.0)


async def settled() -> None:
    """Let every task that can run come to where it waits."""
    for _ in range(20):
        await asyncio.sleep(0)


async def test_an_adapter_is_brought_on_demand_and_stays(bench: Bench) -> None:
    a = bench.adapter("a")
    await bench.touch(a, a)
    assert bench.engine.did == ["+a"]
    assert bench.cache.loaded() == ("a",)
    assert (bench.engine.folders["a"] / "adapter_model.safetensors").read_bytes() == b"a"


async def test_from_s3_an_adapter_comes_whole_and_a_changed_object_is_refused(
    tmp_path: Path, s3_options: dict[str, Any]
) -> None:
    bench = Bench(tmp_path, 2, 30.0, ByteStore(f"s3://documents/{tmp_path.name}", s3_options))
    sound, changed = bench.adapter("sound"), bench.adapter("changed")
    bench.store.put(f"{changed.prefix}/adapter_model.safetensors", [b"changeD"])
    await bench.touch(sound)
    assert (bench.engine.folders["sound"] / "adapter_model.safetensors").read_bytes() == b"sound"
    with pytest.raises(Unavailable, match="cannot be read from the byte store"):
        await bench.touch(changed)
    assert (bench.engine.did, bench.folders()) == (["+sound"], 1)
    bench.store.put(f"{changed.prefix}/adapter_model.safetensors", [b"changed"])
    await bench.touch(changed)
    assert bench.cache.loaded() == ("changed", "sound")


async def test_many_first_calls_load_it_once(bench: Bench) -> None:
    a = bench.adapter("a")
    bench.engine.go.clear()
    calls = [bench.using(a) for _ in range(50)]
    await bench.engine.begun.wait()
    bench.engine.go.set()
    await asyncio.gather(*calls)
    assert bench.engine.did == ["+a"]


async def test_the_least_recently_used_goes_out_of_the_engine_and_off_the_disk(
    bench: Bench,
) -> None:
    a, b, c = (bench.adapter(name) for name in "abc")
    await bench.touch(a, b, a, c)
    assert bench.engine.did == ["+a", "+b", "-b", "+c"]
    assert bench.cache.loaded() == ("a", "c")
    assert not bench.engine.folders["b"].exists()
    assert bench.folders() == 2


async def test_one_that_was_put_out_comes_back(bench: Bench) -> None:
    a, b, c = (bench.adapter(name) for name in "abc")
    await bench.touch(a, b, c, a)
    assert bench.engine.did[-2:] == ["-b", "+a"]


async def test_an_adapter_in_use_is_never_put_out(bench: Bench) -> None:
    a, b, c = (bench.adapter(name) for name in "abc")
    async with bench.held(a):
        await bench.touch(b, c, b, c)
        assert "-a" not in bench.engine.did


async def test_a_call_waits_while_all_are_in_use(bench: Bench) -> None:
    a, b, c = (bench.adapter(name) for name in "abc")
    async with bench.held(b):
        async with bench.held(a):
            waiting = bench.using(c)
            await settled()
            assert not waiting.done()
        await waiting
    assert bench.engine.did == ["+b", "+a", "-a", "+c"]


async def test_waiting_for_a_place_ends_and_says_when_to_come_back(bench: Bench) -> None:
    a, b, c = (bench.adapter(name) for name in "abc")
    async with bench.held(a, b):
        with pytest.raises(Overloaded, match="2 of 2 places") as refused:
            await bench.using(c, wait_s=0.02)
        assert refused.value.retry_after_s
    await bench.touch(c)  # nobody's wish was left behind
    assert bench.engine.did == ["+a", "+b", "-b", "+c"]


async def test_no_wait_is_longer_than_the_longest(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1, 0.02)
    a, b = bench.adapter("a"), bench.adapter("b")
    async with bench.held(a):
        with pytest.raises(Overloaded):
            await asyncio.wait_for(bench.using(b, wait_s=300), 5)


async def test_an_adapter_in_constant_use_makes_way(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1, 5.0)
    a, b = bench.adapter("a"), bench.adapter("b")
    first = AsyncExitStack()
    await first.enter_async_context(bench.cache.use(a, 5))
    other = bench.using(b)
    await settled()
    again = bench.using(a)  # overlaps the first; it waits its turn behind the other
    await settled()
    assert not again.done()
    await first.aclose()
    await asyncio.gather(other, again)
    assert bench.engine.did == ["+a", "-a", "+b", "-b", "+a"]


async def test_one_that_was_to_make_way_is_open_again_when_another_did(bench: Bench) -> None:
    a, b, c = (bench.adapter(name) for name in "abc")
    async with bench.held(a):
        async with bench.held(b):
            waiting = bench.using(c)
            await settled()
        await waiting
        await bench.touch(a)
    assert bench.engine.did == ["+a", "+b", "-b", "+c"]


async def test_a_refusal_reaches_every_call_and_the_next_one_tries_again(bench: Bench) -> None:
    a = bench.adapter("a")
    bench.engine.refusal = Unprocessable("no such module", code="adapter_refused")
    bench.engine.go.clear()
    calls = [bench.using(a) for _ in range(3)]
    await bench.engine.begun.wait()
    bench.engine.go.set()
    errors = await asyncio.gather(*calls, return_exceptions=True)
    assert [type(error) for error in errors] == [Unprocessable] * 3
    assert bench.cache.loaded() == ()
    bench.engine.refusal = None
    await bench.touch(a)
    assert bench.cache.loaded() == ("a",)


async def test_a_failed_load_leaves_nothing_on_the_disk_and_takes_no_place(bench: Bench) -> None:
    a, b, c = (bench.adapter(name) for name in "abc")
    bench.engine.refusal = RuntimeError("out of memory")
    with pytest.raises(Unavailable, match="Adapter a cannot be loaded"):
        await bench.touch(a)
    bench.engine.refusal = None
    await bench.touch(b, c)
    assert bench.engine.did == ["+b", "+c"]
    assert bench.folders() == 2


async def test_files_that_are_missing_are_503_without_their_place(bench: Bench) -> None:
    a = bench.adapter("a")
    bench.store.delete(f"{a.prefix}/adapter_model.safetensors")
    with pytest.raises(Unavailable, match="byte store") as caught:
        await bench.touch(a)
    assert str(bench.folder) not in caught.value.message
    bench.adapter("a")
    await bench.touch(a)


async def test_a_call_that_goes_does_not_take_the_load_from_the_others(bench: Bench) -> None:
    a = bench.adapter("a")
    bench.engine.go.clear()
    gone, stays = bench.using(a), bench.using(a)
    await bench.engine.begun.wait()
    gone.cancel()
    await asyncio.wait({gone})
    bench.engine.go.set()
    await stays
    assert bench.engine.did == ["+a"]


async def test_a_call_that_goes_while_it_waits_puts_nobody_out(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1, 5.0)
    a, b = bench.adapter("a"), bench.adapter("b")
    async with bench.held(a):
        gone = bench.using(b)
        await settled()
        gone.cancel()
        await asyncio.wait({gone})
    await bench.touch(a)
    assert bench.engine.did == ["+a"]


async def test_a_call_that_is_cancelled_in_use_lets_go(tmp_path: Path) -> None:
    bench = Bench(tmp_path, 1, 5.0)
    a, b = bench.adapter("a"), bench.adapter("b")

    async def hold() -> None:
        async with bench.held(a):
            await asyncio.Event().wait()

    task = asyncio.create_task(hold())
    await settled()
    task.cancel()
    await asyncio.wait({task})
    await bench.touch(b)
    assert bench.cache.loaded() == ("b",)


async def test_one_that_is_still_loading_is_waited_for_though_its_calls_went(
    tmp_path: Path,
) -> None:
    bench = Bench(tmp_path, 1, 5.0)
    a, b = bench.adapter("a"), bench.adapter("b")
    bench.engine.go.clear()
    gone = bench.using(a)
    await bench.engine.begun.wait()
    gone.cancel()
    await asyncio.wait({gone})
    waiting = bench.using(b)
    await settled()
    bench.engine.go.set()
    await waiting
    assert bench.engine.did == ["+a", "-a", "+b"]


async def test_a_rank_above_the_engines_is_refused_before_any_work(bench: Bench) -> None:
    big = bench.adapter("big", rank=32)
    with pytest.raises(InvalidRequest, match=r"rank 32.*up to 16.*max_adapter_rank"):
        await bench.touch(big)
    assert bench.folders() == 0


async def test_more_adapters_than_places_under_load_all_get_their_turn(bench: Bench) -> None:
    adapters = [bench.adapter(name) for name in "abcde"]

    async def user(number: int) -> None:
        for turn in range(10):
            async with bench.cache.use(adapters[(number + turn) % 5], 5):
                assert len(bench.engine.loaded) <= 2
                await asyncio.sleep(0)

    await asyncio.gather(*(user(number) for number in range(10)))
    assert len(bench.cache.loaded()) == 2
    assert bench.folders() == 2


async def test_a_forgotten_adapter_leaves_once_no_call_uses_it(bench: Bench) -> None:
    a, b = bench.adapter("a"), bench.adapter("b")
    await bench.touch(b)
    async with bench.held(a):
        bench.cache.forget("a")
        bench.cache.forget("b")
        bench.cache.forget("unknown")
        await bench.left("b")
        assert "a" in bench.engine.loaded
    await bench.left("a")
    assert (bench.cache.loaded(), bench.folders()) == ((), 0)
    assert bench.engine.did == ["+b", "+a", "-b", "-a"]
    await bench.touch(a)
    assert bench.cache.loaded() == ("a",)
