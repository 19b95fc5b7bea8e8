"""What the Monitor does for it."""

from typing import Final

from deployments.monitor.duty import MonitorParts

__all__ = ["DriftDuty"]


class DriftDuty:
    """See `deployments.monitor.duty.Duty`."""

    name: Final = "drift"

    def __init__(self, parts: MonitorParts) -> None:
        self._parts: Final = parts

    @property
    def period_s(self) -> float:
        """As the settings say."""
        return self._parts.settings.drift.period_s

    async def turn(self) -> None:
        """Do what is due."""
