"""Duties go on beside one another, whatever one of them raises."""

import asyncio
import time
from collections.abc import AsyncIterator

import pytest

from deployments.monitor.duty import Duty
from deployments.monitor.monitor import Monitor


class Counting:
    """Sets `reached` after `turns` turns; raises in each where `error` is given."""

    period_s = 0.001

    def __init__(self, name: str, turns: int, error: Exception | None = None) -> None:
        self.name = name
        self.reached = asyncio.Event()
        self._left = turns
        self._error = error

    async def turn(self) -> None:
        self._left -= 1
        if self._left == 0:
            self.reached.set()
        if self._error is not None:
            raise self._error


class Hanging:
    """A duty whose turn never ends."""

    name = "hanging"
    period_s = 0.001

    def __init__(self) -> None:
        self.begun = asyncio.Event()

    async def turn(self) -> None:
        self.begun.set()
        await asyncio.Event().wait()


@pytest.fixture
async def running() -> AsyncIterator[list[asyncio.Task[None]]]:
    tasks: list[asyncio.Task[None]] = []
    yield tasks
    for task in tasks:
        task.cancel()
    await asyncio.gather(*tasks, return_exceptions=True)


def start(running: list[asyncio.Task[None]], *duties: Duty) -> Monitor:
    monitor = Monitor(duties)
    running.append(asyncio.ensure_future(monitor.run()))
    return monitor


async def test_a_duty_that_raises_is_counted_and_comes_again(
    running: list[asyncio.Task[None]],
) -> None:
    bad, good = Counting("bad", 3, ValueError("no")), Counting("good", 20)
    monitor = start(running, bad, good)
    await asyncio.wait_for(asyncio.gather(bad.reached.wait(), good.reached.wait()), 10)
    assert monitor.counts["bad"].failures >= 2
    assert monitor.counts["bad"].error == "ValueError: no"
    assert monitor.counts["good"].failures == 0


async def test_a_hanging_duty_is_named_and_the_others_go_on(
    running: list[asyncio.Task[None]],
) -> None:
    hanging, good = Hanging(), Counting("good", 5)
    monitor = start(running, hanging, good)
    await asyncio.wait_for(asyncio.gather(hanging.begun.wait(), good.reached.wait()), 10)
    assert monitor.stuck(time.monotonic() + 60, 30) == ["hanging"]
    assert monitor.stuck(time.monotonic(), 30) == []
