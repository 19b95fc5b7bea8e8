"""What the gateways have told of the calls that they hold."""

from collections.abc import Mapping
from typing import Final

__all__ = ["LoadReports"]

_FRESH_S: Final = 5.0
"""A gateway that has not told anything for so long is gone."""


class LoadReports:
    """The latest word of each gateway replica. Times are seconds of any clock."""

    def __init__(self, fresh_s: float = _FRESH_S) -> None:
        self._fresh_s = fresh_s
        self._latest: dict[str, tuple[float, Mapping[str, int]]] = {}

    def note(self, gateway: str, calls: Mapping[str, int], at: float) -> None:
        """Take the calls by model that a gateway holds at the time `at`."""
        self._latest = {
            name: report for name, report in self._latest.items() if self._fresh(report[0], at)
        }
        self._latest[gateway] = (at, calls)

    def asked(self, model: str, at: float) -> int:
        """Calls for the model that the gateways hold together."""
        return sum(
            calls.get(model, 0) for noted, calls in self._latest.values() if self._fresh(noted, at)
        )

    def _fresh(self, noted: float, at: float) -> bool:
        return at - noted < self._fresh_s
