"""What the Monitor does for it."""

from typing import Final

from deployments.monitor.duty import MonitorParts

__all__ = ["AlertDuty"]


class AlertDuty:
    """See `deployments.monitor.duty.Duty`."""

    name: Final = "alerts"

    def __init__(self, parts: MonitorParts) -> None:
        self._parts: Final = parts

    @property
    def period_s(self) -> float:
        """As the settings say."""
        return self._parts.settings.alerts.period_s

    async def turn(self) -> None:
        """Do what is due."""
