"""What a gateway replica tells the Trainer of its calls."""

import asyncio
from collections.abc import Mapping

from deployments.errors import Unavailable
from deployments.gateway.load_reports import report_load


class Trainer:
    """Remembers what it is told; does not answer the first `failures` times."""

    def __init__(self, failures: int = 0) -> None:
        self.told: list[tuple[str, dict[str, int]]] = []
        self.failures = failures

    async def wake(self) -> None:
        raise AssertionError("nobody wakes it here")

    async def note_load(self, gateway: str, calls: Mapping[str, int]) -> None:
        if self.failures:
            self.failures -= 1
            raise Unavailable("starting")
        self.told.append((gateway, dict(calls)))


async def told(loads: list[int], trainer: Trainer) -> list[int]:
    """What is told of these loads, one a period."""
    left = list(loads)
    ended = asyncio.Event()

    def calls() -> dict[str, int]:
        if not left:
            ended.set()
            return {"m": 0}
        return {"m": left.pop(0)}

    task = asyncio.create_task(report_load(calls, trainer, "gw", period_s=0))
    await ended.wait()
    task.cancel()
    return [load["m"] for _, load in trainer.told]


async def test_calls_are_told_while_there_are_any_and_their_end_once() -> None:
    assert await told([0, 2, 3, 0, 0, 0, 1, 0, 0], Trainer()) == [2, 3, 0, 1, 0]


async def test_a_trainer_that_does_not_answer_is_told_again() -> None:
    assert await told([2, 3, 0, 0], Trainer(failures=1)) == [3, 0]
