"""Starts Serve's controller anew where the machine's clock was set back.

The controller compares the time of day with that of its last look at each replica. Set back by an
hour it looks at none for an hour, and who dies meanwhile is not replaced. A controller that begins
has no last look; users notice nothing of it.
"""

import logging
import time
from collections.abc import Callable
from typing import Final

from deployments.monitor.silent_actors import CONTROLLER, Watched

__all__ = ["ClockDuty"]

_log = logging.getLogger(__name__)
_MOST_S: Final = 5.0
"""So much is less than the time between two looks."""


class ClockDuty:
    """Compares the time of day with the time that passes; see `deployments.monitor.duty.Duty`."""

    name: Final = "clock"
    period_s: Final = 2.0

    def __init__(
        self,
        controller: Watched = CONTROLLER,
        *,
        wall_clock: Callable[[], float] = time.time,
        clock: Callable[[], float] = time.monotonic,
    ) -> None:
        self._controller: Final = controller
        self._wall_clock: Final = wall_clock
        self._clock: Final = clock
        self._offset_s = self._offset()

    async def turn(self) -> None:
        """Replace the controller where the clock was set back since the last turn."""
        offset_s = self._offset()
        back_s = self._offset_s - offset_s
        if back_s > _MOST_S:
            _log.warning("The clock was set back by %.0f s: Serve's controller begins anew", back_s)
            await self._controller.replace()
        self._offset_s = offset_s

    def _offset(self) -> float:
        return self._wall_clock() - self._clock()
