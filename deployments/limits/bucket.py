"""A token bucket: so much a minute, with bursts of at most a minute's worth."""

from collections.abc import Callable
from typing import Final

__all__ = ["Bucket"]

_MINUTE_S: Final = 60.0


class Bucket:
    """Fills at `per_minute` up to `per_minute`. Times in seconds of `clock`.

    Its level falls below zero where more was used than had been set aside, by a minute's worth at
    most.
    """

    def __init__(self, per_minute: float, clock: Callable[[], float]) -> None:
        self.per_minute: Final = per_minute
        self._clock: Final = clock
        self._level = per_minute
        self._at = clock()

    @property
    def level(self) -> float:
        """What may be taken now."""
        now = self._clock()
        gained = max(0.0, now - self._at) * self.per_minute / _MINUTE_S
        self._level, self._at = min(self.per_minute, self._level + gained), now
        return self._level

    def take(self, amount: float) -> bool:
        """Take `amount`, where it is there."""
        if self.level < amount:
            return False
        self._level -= amount
        return True

    def settle(self, difference: float) -> None:
        """Take `difference` more, whether or not it is there; give back where it is negative."""
        self._level = max(-self.per_minute, min(self.per_minute, self.level - difference))

    def wait_s(self, amount: float) -> float:
        """Until `amount` can be taken, if nobody takes any meanwhile."""
        return max(0.0, amount - self.level) * _MINUTE_S / self.per_minute

    def reset_s(self) -> float:
        """Until it is full."""
        return self.wait_s(self.per_minute)
