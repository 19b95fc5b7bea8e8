"""What the Monitor does for it."""

from typing import Final

from deployments.monitor.duty import MonitorParts

__all__ = ["ExperimentDuty"]


class ExperimentDuty:
    """See `deployments.monitor.duty.Duty`."""

    name: Final = "experiments"

    def __init__(self, parts: MonitorParts) -> None:
        self._parts: Final = parts

    @property
    def period_s(self) -> float:
        """As the settings say."""
        return self._parts.settings.experiments.period_s

    async def turn(self) -> None:
        """Do what is due."""
