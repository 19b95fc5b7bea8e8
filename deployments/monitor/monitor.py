"""Runs duties beside one another, each at its own pace; `deployment.py` hosts the class."""

import asyncio
import logging
import time
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from deployments.monitor.duty import Duty

__all__ = ["DutyCounts", "Monitor"]

_log = logging.getLogger(__name__)
_LONGEST_PAUSE_S: Final = 60.0


@dataclass(slots=True)
class DutyCounts:
    """How a duty goes."""

    turns: int = 0
    failures: int = 0
    """In a row; each doubles the pause before the next turn, up to a minute."""
    error: str | None = None
    """What the last turn raised, where it did."""
    began: float = 0.0
    """`time.monotonic()` when the turn that runs began; 0 between turns."""


class Monitor:
    """The loop over duties."""

    def __init__(self, duties: Sequence[Duty]) -> None:
        self._duties: Final = tuple(duties)
        self.counts: Final = {duty.name: DutyCounts() for duty in duties}
        """By the duty's name."""

    async def run(self) -> None:
        """Run until cancelled."""
        async with asyncio.TaskGroup() as group:
            for duty in self._duties:
                group.create_task(self._repeat(duty), name=duty.name)

    def stuck(self, at: float, longest_s: float) -> list[str]:
        """Names of duties whose turn has run for more than `longest_s` at the time `at`."""
        return [
            name
            for name, counts in self.counts.items()
            if counts.began and at - counts.began > longest_s
        ]

    async def _repeat(self, duty: Duty) -> None:
        counts = self.counts[duty.name]
        while True:
            counts.began = time.monotonic()
            try:
                await duty.turn()
            except Exception as error:  # noqa: BLE001 - a duty's edge: the others go on
                counts.failures += 1
                counts.error = f"{type(error).__name__}: {error}"
                _log.warning("Duty %s failed", duty.name, exc_info=counts.failures == 1)
            else:
                counts.failures, counts.error = 0, None
            counts.began = 0.0
            counts.turns += 1
            pause = duty.period_s * 2 ** min(counts.failures, 10)
            await asyncio.sleep(min(pause, max(_LONGEST_PAUSE_S, duty.period_s)))
