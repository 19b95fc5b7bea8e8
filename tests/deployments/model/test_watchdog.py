"""A hung engine is noticed."""

import asyncio

import pytest

from deployments.model.watchdog import (
    EngineHungError,
    EngineView,
    Question,
    Watchdog,
    next_question,
)
from tests.fakes.engine import FakeEngine


@pytest.mark.parametrize(
    ("running", "idle_s", "since_answer_s", "expected"),
    [
        (0, 5, 5, Question.NOTHING),
        (0, 31, 31, Question.ONE_MORE),
        (0, 31, 2, Question.NOTHING),
        (3, 0, 2, Question.NOTHING),
        (3, 0, 8, Question.STEP),
    ],
)
def test_a_busy_engine_is_asked_often_and_an_idle_one_now_and_then(
    running: int, idle_s: float, since_answer_s: float, expected: Question
) -> None:
    assert next_question(EngineView(running, idle_s, since_answer_s), 30) is expected


async def _until_unhealthy(watchdog: Watchdog) -> EngineHungError:
    async with asyncio.timeout(5):
        while True:
            try:
                await watchdog.check()
            except EngineHungError as error:
                return error
            await asyncio.sleep(0.005)


async def test_an_engine_that_falls_silent_at_work_is_killed_and_reported() -> None:
    engine = FakeEngine(hangs=True)
    watchdog = Watchdog(engine, lambda: 1, stall_timeout_s=0.05, period_s=0.005)
    assert "did not answer" in str(await _until_unhealthy(watchdog))
    assert engine.killed


async def test_an_engine_at_work_that_answers_stays_healthy() -> None:
    engine = FakeEngine(pace_s=0.001)
    watchdog = Watchdog(engine, lambda: 1, stall_timeout_s=0.5, period_s=0.005)
    await asyncio.sleep(0.05)
    await watchdog.check()
    assert not engine.killed
    watchdog.close()


async def test_a_dead_engine_is_reported_by_its_own_word() -> None:
    watchdog = Watchdog(FakeEngine(failure=OSError("gone")), lambda: 0, stall_timeout_s=1)
    with pytest.raises(OSError, match="gone"):
        await watchdog.check()
    watchdog.close()


async def test_a_replica_whose_watchdog_ended_is_not_healthy() -> None:
    watchdog = Watchdog(FakeEngine(), lambda: 0, stall_timeout_s=1)
    watchdog.close()
    await asyncio.sleep(0)
    with pytest.raises(EngineHungError):
        await watchdog.check()


@pytest.mark.parametrize(
    ("engine", "running"),
    [(FakeEngine(hangs=True), 1), (FakeEngine(failure=OSError("gone")), 0)],
    ids=["hangs", "dead, and nobody calls"],
)
async def test_the_replica_of_an_engine_that_is_of_no_use_ends(
    engine: FakeEngine, running: int
) -> None:
    ended = asyncio.Event()
    watchdog = Watchdog(
        engine, lambda: running, stall_timeout_s=0.05, period_s=0.005, end=ended.set
    )
    async with asyncio.timeout(5):
        await ended.wait()
    with pytest.raises((EngineHungError, OSError)):
        await watchdog.check()


async def test_the_replica_of_an_engine_that_works_goes_on() -> None:
    ended = asyncio.Event()
    watchdog = Watchdog(
        FakeEngine(), lambda: 1, stall_timeout_s=0.05, period_s=0.005, end=ended.set
    )
    await asyncio.sleep(0.2)
    assert not ended.is_set()
    watchdog.close()
