"""Items of many callers in few calls."""

import asyncio

import pytest

from ingestion.gathering import Gatherer


class Doubler:
    """Doubles numbers; a gate holds its calls; 13 is refused."""

    def __init__(self) -> None:
        self.calls: list[list[int]] = []
        self.gate = asyncio.Event()
        self.gate.set()

    async def __call__(self, items: list[int]) -> list[int]:
        self.calls.append(items)
        await self.gate.wait()
        if 13 in items:
            raise ValueError("thirteen")
        return [2 * item for item in items]


async def test_a_lone_item_goes_at_once() -> None:
    call = Doubler()
    assert await Gatherer(call, limit=10).submit([4]) == [8]


async def test_what_comes_during_a_call_shares_the_next() -> None:
    call = Doubler()
    gatherer = Gatherer(call, limit=10)
    call.gate.clear()
    tasks = [asyncio.create_task(gatherer.submit([n])) for n in range(5)]
    await asyncio.sleep(0)
    call.gate.set()
    assert await asyncio.gather(*tasks) == [[0], [2], [4], [6], [8]]
    assert call.calls == [[0], [1, 2, 3, 4]]


async def test_a_call_keeps_to_the_limit_and_a_heavy_item_goes_alone() -> None:
    call = Doubler()
    gatherer = Gatherer(call, weight=lambda item: item, limit=5)
    assert await gatherer.submit([2, 3, 9, 1]) == [4, 6, 18, 2]
    assert call.calls == [[2, 3], [9], [1]]


async def test_a_bad_item_fails_its_own_caller() -> None:
    call = Doubler()
    gatherer = Gatherer(call, limit=10)
    call.gate.clear()
    first = asyncio.create_task(gatherer.submit([0]))
    good, bad = (asyncio.create_task(gatherer.submit(items)) for items in ([1, 2], [13]))
    await asyncio.sleep(0)
    call.gate.set()
    assert (await first, await good) == ([0], [2, 4])
    with pytest.raises(ValueError, match="thirteen"):
        await bad


async def test_a_shared_error_is_everybodys_at_once() -> None:
    call = Doubler()
    gatherer = Gatherer(call, limit=10, shared=(ValueError,))
    with pytest.raises(ValueError, match="thirteen"):
        await gatherer.submit([13, 1])
    assert len(call.calls) == 1


async def test_a_cancelled_caller_takes_back_what_waits() -> None:
    call = Doubler()
    gatherer = Gatherer(call, limit=1)
    call.gate.clear()
    running = asyncio.create_task(gatherer.submit([1]))
    waiting = asyncio.create_task(gatherer.submit([2]))
    await asyncio.sleep(0)
    waiting.cancel()
    await asyncio.wait([waiting])
    call.gate.set()
    assert await running == [2]
    assert await gatherer.submit([3]) == [6]
    assert call.calls == [[1], [3]]
