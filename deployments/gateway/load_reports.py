"""Tells the Trainer how many calls this gateway replica holds, so that training can give way."""

import asyncio
from collections.abc import Callable, Mapping
from contextlib import suppress
from typing import Final

from cluster.errors import EverloopError
from deployments.ports import TrainingQueue

__all__ = ["report_load"]

_PERIOD_S: Final = 1.0


async def report_load(
    calls: Callable[[], Mapping[str, int]],
    trainer: TrainingQueue,
    gateway: str,
    period_s: float = _PERIOD_S,
) -> None:
    """Tell what `calls` says once in each period, until cancelled; of nothing only once.

    A Trainer that does not answer costs nothing: it is told again.
    """
    told: Mapping[str, int] = {}
    while True:
        now = dict(calls())
        if any(now.values()) or any(told.values()):
            with suppress(EverloopError):
                await trainer.note_load(gateway, now)
                told = now
        await asyncio.sleep(period_s)
