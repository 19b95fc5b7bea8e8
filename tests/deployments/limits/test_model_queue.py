"""Places of a model: who waits, who makes room, who is refused at once."""

import asyncio
import math
from contextlib import AsyncExitStack

import pytest

from deployments.errors import Overloaded
from deployments.limits.model_queue import Capacity, ModelQueue
from tests.deployments.limits.conftest import Clock


def queue(
    calls: int = 1,
    tokens: float = math.inf,
    most: int = 4,
    each: int = 3,
    clock: Clock | None = None,
) -> ModelQueue:
    return ModelQueue(
        Capacity(calls, tokens),
        max_waiting=most,
        max_waiting_per_project=each,
        clock=clock or Clock(),
    )


class Calls:
    """Calls that run until they are ended."""

    def __init__(self, queue: ModelQueue) -> None:
        self.queue = queue
        self.began: list[str] = []
        self.ends: dict[str, asyncio.Event] = {}

    async def start(
        self, name: str, tokens: int = 1, deadline_s: float = 100.0, *, background: bool = False
    ) -> "asyncio.Task[None]":
        project = name.rstrip("0123456789")
        self.ends[name] = asyncio.Event()

        async def run() -> None:
            async with self.queue.place(
                project, tokens, deadline_s, background=background
            ) as place:
                self.began.append(name)
                await self.ends[name].wait()
                place.answered = True

        task = asyncio.create_task(run())
        await settle()
        return task

    async def end(self, name: str) -> None:
        self.ends[name].set()
        await settle()


async def settle() -> None:
    for _ in range(5):
        await asyncio.sleep(0)


async def test_another_project_goes_before_what_one_has_piled_up() -> None:
    calls = Calls(queue(calls=1))
    tasks = [await calls.start(f"noisy{number}") for number in range(4)]
    tasks.append(await calls.start("quiet0"))
    assert calls.began == ["noisy0"]
    for name in ("noisy0", "quiet0", "noisy1", "noisy2", "noisy3"):
        await calls.end(name)
    assert calls.began == ["noisy0", "quiet0", "noisy1", "noisy2", "noisy3"]
    await asyncio.gather(*tasks)
    assert (calls.queue.running, calls.queue.waiting, calls.queue.live) == (0, 0, 0)


async def test_tokens_bound_what_runs_at_once_and_a_large_one_runs_alone() -> None:
    calls = Calls(queue(calls=10, tokens=100))
    tasks = [await calls.start("a0", 60), await calls.start("b0", 60), await calls.start("c0", 10)]
    assert calls.began == ["a0"], "who came first is not overtaken by a smaller one"
    await calls.end("a0")
    assert calls.began == ["a0", "b0", "c0"]
    await calls.end("b0")
    await calls.end("c0")
    tasks.append(await calls.start("d0", 1000))
    assert calls.began[-1] == "d0"
    tasks.append(await calls.start("e0", 1))
    assert calls.began[-1] == "d0"
    await calls.end("d0")
    await calls.end("e0")
    await asyncio.gather(*tasks)


async def test_one_project_has_so_many_places_to_wait() -> None:
    calls = Calls(queue(calls=1, most=4, each=2))
    tasks = [await calls.start(f"a{number}") for number in range(3)]
    with pytest.raises(Overloaded) as refused:
        await (await calls.start("a3"))
    assert refused.value.code == "overloaded"
    assert refused.value.retry_after_s is not None
    assert calls.queue.refuses("a", 100)
    assert not calls.queue.refuses("b", 100)
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)
    assert (calls.queue.running, calls.queue.waiting) == (0, 0)


async def test_where_all_wait_the_longest_line_makes_room() -> None:
    calls = Calls(queue(calls=1, most=3, each=3))
    tasks = [await calls.start(f"a{number}") for number in range(4)]
    newcomer = await calls.start("b0")
    with pytest.raises(Overloaded):
        await tasks.pop()  # the last of those that came
    await calls.end("a0")
    assert calls.queue.waiting == 2
    for task in (*tasks, newcomer):
        task.cancel()
    await asyncio.gather(*tasks, newcomer, return_exceptions=True)


async def test_background_work_makes_room_for_users_and_goes_last() -> None:
    calls = Calls(queue(calls=1, most=2, each=2))
    tasks = [
        await calls.start("a0"),
        await calls.start("b0", background=True),
        await calls.start("b1", background=True),
    ]
    user = await calls.start("c0")
    with pytest.raises(Overloaded):
        await tasks.pop()
    await calls.end("a0")
    assert calls.began == ["a0", "c0"]
    assert calls.queue.live == 1
    await calls.end("c0")
    await calls.end("b0")
    assert calls.began == ["a0", "c0", "b0"]
    await asyncio.gather(*tasks, user)


async def served_once(calls: Calls, clock: Clock, seconds: float) -> None:
    task = await calls.start("first0")
    clock.at += seconds
    await calls.end("first0")
    await task


async def test_a_wait_that_ends_too_late_is_refused_at_once(clock: Clock) -> None:
    calls = Calls(queue(calls=1, most=100, each=100, clock=clock))
    await served_once(calls, clock, 2.0)
    tasks = [await calls.start("a0"), await calls.start("a1")]
    assert calls.queue.pressure("a", 100) == pytest.approx(4 / 78)
    with pytest.raises(Overloaded) as refused:
        await (await calls.start("a2", deadline_s=7))  # 4 s of waiting, 2 s of answering
    assert refused.value.retry_after_s == 4
    assert calls.queue.waiting == 1
    tasks.append(await calls.start("a3", deadline_s=8))
    assert calls.queue.waiting == 2
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


async def test_who_cannot_be_answered_in_time_any_more_leaves(clock: Clock) -> None:
    calls = Calls(queue(calls=1, most=10, each=10, clock=clock))
    await served_once(calls, clock, 0.01)
    first = await calls.start("a0")
    late = await calls.start("b0", deadline_s=0.06)
    with pytest.raises(Overloaded):
        await late
    assert calls.queue.waiting == 0
    await calls.end("a0")
    await first


async def test_calls_that_were_broken_off_raise_the_expected_time_only(clock: Clock) -> None:
    calls = Calls(queue(calls=1, most=100, each=100, clock=clock))
    await served_once(calls, clock, 2.0)
    expected = []
    for seconds in (1.0, 12.0):
        cut = await calls.start("a0")
        clock.at += seconds
        cut.cancel()
        await asyncio.gather(cut, return_exceptions=True)
        first = await calls.start("b0")
        expected.append(calls.queue.refusal("c").retry_after_s)
        first.cancel()
        await asyncio.gather(first, return_exceptions=True)
    assert expected == [2, 3]


async def test_more_places_are_taken_at_once() -> None:
    calls = Calls(queue(calls=1))
    tasks = [await calls.start("a0"), await calls.start("a1")]
    assert calls.began == ["a0"]
    calls.queue.resize(Capacity(2))
    await settle()
    assert calls.began == ["a0", "a1"]
    await calls.end("a0")
    await calls.end("a1")
    await asyncio.gather(*tasks)


async def test_a_caller_that_leaves_when_its_turn_came_gives_the_place_back() -> None:
    model = queue(calls=1)
    async with AsyncExitStack() as stack:
        await stack.enter_async_context(model.place("a", 1, 100))
        waiting = asyncio.create_task(model.place("b", 1, 100).__aenter__())
        await settle()
        assert model.waiting == 1
    waiting.cancel()  # its turn has come, and it has not run yet
    with pytest.raises(asyncio.CancelledError):
        await waiting
    assert (model.running, model.waiting) == (0, 0)


async def test_where_nobody_may_wait_who_finds_no_place_is_refused() -> None:
    calls = Calls(queue(calls=1, most=0, each=0))
    first = await calls.start("a0")
    assert calls.queue.refuses("b", 100)
    with pytest.raises(Overloaded):
        await (await calls.start("b0"))
    await calls.end("a0")
    await first
