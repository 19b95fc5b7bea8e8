"""Old traces go."""

from typing import Final

from deployments.monitor.duty import MonitorParts

__all__ = ["RetentionDuty"]


class RetentionDuty:
    """Deletes traces past their retention; see `deployments.monitor.duty.Duty`."""

    name: Final = "retention"
    period_s: Final = 60.0

    def __init__(self, parts: MonitorParts) -> None:
        self._parts: Final = parts

    async def turn(self) -> None:
        """Do what is due."""
