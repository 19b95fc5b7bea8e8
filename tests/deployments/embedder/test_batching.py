"""The batcher: bounded batches, urgent work first, a bounded queue."""

import asyncio
import threading
from collections.abc import Sequence

import pytest

from deployments.embedder.batching import Batcher
from deployments.errors import Overloaded, Unavailable, Unprocessable


class Machine:
    """A `run` that notes its batches and waits for permission where told to."""

    def __init__(self, *, held: bool = False) -> None:
        self.batches: list[list[int]] = []
        self.began = threading.Event()
        self.go = threading.Event()
        if not held:
            self.go.set()

    def __call__(self, items: Sequence[int]) -> list[int]:
        self.batches.append(list(items))
        self.began.set()
        assert self.go.wait(10)
        return [item * 10 for item in items]


def batcher(machine: Machine, *, batch_size: int = 10, max_queued: int = 100) -> Batcher[int, int]:
    """A batcher whose items are as large as their number says."""
    return Batcher(
        machine,
        size=lambda item: item,
        batch_size=batch_size,
        max_queued=max_queued,
        name="test",
    )


async def begun(machine: Machine) -> None:
    """Wait until a batch runs."""
    assert await asyncio.to_thread(machine.began.wait, 10)


async def test_results_come_in_the_order_of_the_items() -> None:
    under_test = batcher(Machine())
    assert await under_test.submit([5, 1, 4, 1]) == [50, 10, 40, 10]


async def test_calls_that_wait_share_a_batch() -> None:
    machine = Machine(held=True)
    under_test = batcher(machine)
    first = asyncio.create_task(under_test.submit([1]))
    await begun(machine)
    others = [asyncio.create_task(under_test.submit([2])) for _ in range(3)]
    await asyncio.sleep(0)
    machine.go.set()
    await asyncio.gather(first, *others)
    assert machine.batches == [[1], [2, 2, 2]]


async def test_a_padded_batch_stays_within_its_bound() -> None:
    machine = Machine()
    await batcher(machine, batch_size=10).submit([2, 5, 5, 2, 2, 9, 30])
    assert all(max(batch) * len(batch) <= 10 for batch in machine.batches if batch != [30])
    assert sorted(item for batch in machine.batches for item in batch) == [2, 2, 2, 5, 5, 9, 30]


async def test_urgent_work_overtakes_what_waits() -> None:
    machine = Machine(held=True)
    under_test = batcher(machine, batch_size=1)
    bulk = asyncio.create_task(under_test.submit([1, 1, 1], priority=1))
    await begun(machine)
    urgent = asyncio.create_task(under_test.submit([7], priority=0))
    await asyncio.sleep(0)
    machine.go.set()
    await asyncio.gather(bulk, urgent)
    assert machine.batches == [[1], [7], [1], [1]]


async def test_a_full_queue_refuses_and_says_when_to_come_back() -> None:
    machine = Machine(held=True)
    under_test = batcher(machine, batch_size=1, max_queued=3)
    running = asyncio.create_task(under_test.submit([1, 1, 1]))
    await begun(machine)
    with pytest.raises(Overloaded) as caught:
        await under_test.submit([1, 1])
    assert caught.value.retry_after_s
    machine.go.set()
    assert await running == [10, 10, 10]
    assert under_test.queued == 0


async def test_items_of_a_cancelled_call_are_not_run() -> None:
    machine = Machine(held=True)
    under_test = batcher(machine, batch_size=1)
    kept = asyncio.create_task(under_test.submit([1]))
    await begun(machine)
    dropped = asyncio.create_task(under_test.submit([8, 8]))
    await asyncio.sleep(0)
    dropped.cancel()
    await asyncio.gather(dropped, return_exceptions=True)
    machine.go.set()
    await kept
    assert await under_test.submit([2]) == [20]
    assert machine.batches == [[1], [2]]


async def test_a_failure_reaches_its_callers_and_the_next_batch_runs() -> None:
    def run(items: Sequence[int]) -> list[int]:
        if 13 in items:
            raise RuntimeError("broken")
        return list(items)

    under_test: Batcher[int, int] = Batcher(
        run, size=lambda _: 1, batch_size=1, max_queued=10, name="test"
    )
    with pytest.raises(Unavailable, match="broken"):
        await under_test.submit([13])
    assert await under_test.submit([1]) == [1]


async def test_an_item_that_the_model_fails_at_fails_its_own_caller_only() -> None:
    began, go = threading.Event(), threading.Event()
    batches: list[list[int]] = []

    def run(items: Sequence[int]) -> list[int]:
        batches.append(list(items))
        began.set()
        go.wait(10)
        if 13 in items:
            raise RuntimeError("broken")
        return [10 * item for item in items]

    under_test: Batcher[int, int] = Batcher(
        run, size=lambda _: 1, batch_size=4, max_queued=10, name="test"
    )
    held = asyncio.create_task(under_test.submit([0]))
    await asyncio.to_thread(began.wait, 10)
    good = asyncio.create_task(under_test.submit([1, 2]))
    bad = asyncio.create_task(under_test.submit([13]))
    await asyncio.sleep(0)
    go.set()
    assert await held == [0]
    assert await good == [10, 20]
    with pytest.raises(Unprocessable, match="not at others: broken") as refused:
        await bad
    assert refused.value.code == "embedding_failed"
    assert batches == [[0], [1, 2, 13], [1], [2], [13]]


async def test_a_model_that_fails_at_everything_is_down_and_no_text_is_at_fault() -> None:
    def run(items: Sequence[int]) -> list[int]:
        raise RuntimeError(f"out of memory at {len(items)}")

    under_test: Batcher[int, int] = Batcher(
        run, size=lambda _: 1, batch_size=4, max_queued=10, name="test"
    )
    with pytest.raises(Unavailable, match="out of memory"):
        await under_test.submit([1, 2])


async def test_a_caller_may_submit_again_at_once() -> None:
    under_test = batcher(Machine())
    for number in range(50):
        assert await under_test.submit([number]) == [number * 10]


async def test_several_workers_run_batches_side_by_side() -> None:
    both = threading.Barrier(2, timeout=10)

    def run(items: Sequence[int]) -> list[int]:
        both.wait()
        return list(items)

    under_test: Batcher[int, int] = Batcher(
        run, size=lambda _: 1, batch_size=1, max_queued=10, name="test", workers=2
    )
    assert await under_test.submit([1, 2]) == [1, 2]


async def test_a_refusal_is_told_as_it_is_and_to_its_caller_only() -> None:
    def run(items: Sequence[int]) -> list[int]:
        if 3 in items:
            raise Unprocessable("Not 3.", code="no_three")
        return list(items)

    under_test: Batcher[int, int] = Batcher(
        run, size=lambda item: 1, batch_size=10, max_queued=10, name="test"
    )
    with pytest.raises(Unprocessable) as alone:
        await under_test.submit([3])  # not Unavailable, which callers try again
    bad, good = await asyncio.gather(
        under_test.submit([1, 3]), under_test.submit([2]), return_exceptions=True
    )
    assert isinstance(bad, Unprocessable)
    assert (alone.value.code, bad.code, good) == ("no_three", "no_three", [2])
