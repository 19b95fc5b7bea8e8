"""How far a monitor has come, and what its next look takes in. Pure."""

from collections.abc import Mapping
from dataclasses import dataclass, field, replace
from typing import Any, Final

from deployments.drift.plan import FixedDates, LastDays, MonitorPlan
from deployments.drift.reading import Span
from deployments.drift.rule import Persistence

__all__ = ["Progress", "look_size"]

_BACKLOG: Final = 10
"""Looks that a backlog is cut into at the most."""
_DAY_S: Final = 86_400


@dataclass(frozen=True, slots=True)
class Progress:
    """The state of a monitor's record."""

    reference_until: str | None = None
    """Of the first requests: the last of them, once they are complete."""
    after: str | None = None
    """The last request of the last look."""
    looks: int = 0
    looked_at: int | None = None
    """When the last look was, in seconds since 1970."""
    streak_after: str | None = None
    """The request before the first look of those that were out of bounds in a row."""
    streak: int = 0
    """How many looks that are."""
    persistence: Persistence = field(default_factory=Persistence)
    wanted: bool = False
    """Somebody asked for a look now."""
    failures: int = 0
    """Looks in a row that failed."""

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "Progress":
        """From the record's `state`."""
        known = {name: body[name] for name in cls.__slots__ if name in body}
        return cls(**{**known, "persistence": Persistence.of(body.get("persistence", {}))})

    def body(self) -> dict[str, Any]:
        """As JSON."""
        found = {name: getattr(self, name) for name in self.__slots__}
        return {**found, "persistence": self.persistence.body()}

    def unseen(self, plan: MonitorPlan, created_at: int) -> Span:
        """The requests that no look took in yet."""
        if self.after is not None:
            return Span(after=self.after)
        if isinstance(plan.reference, FixedDates):
            return Span(begin=plan.reference.end)
        return Span(after=self.reference_until, begin=created_at)

    def earlier(self, plan: MonitorPlan, created_at: int) -> Span:
        """The requests of the looks that were out of bounds in a row up to now."""
        first = replace(self, after=None).unseen(plan, created_at)
        return replace(first, after=self.streak_after or first.after, until=self.after)

    def reference(self, plan: MonitorPlan, created_at: int, window_begin: int) -> Span:
        """The requests that a window which begins at `window_begin` is compared with."""
        match plan.reference:
            case FixedDates(begin=begin, end=end):
                return Span(begin=begin, end=end)
            case LastDays(days=days):
                return Span(begin=int(window_begin - days * _DAY_S), end=window_begin)
            case _:
                return Span(begin=created_at, until=self.reference_until)

    def looked(
        self, last: str, before: str | None, state: Persistence, *, out: bool, at: int
    ) -> "Progress":
        """After a look whose last request was `last`; `before`: the one before its first."""
        return replace(
            self,
            after=last,
            looks=self.looks + 1,
            looked_at=at,
            streak=self.streak + 1 if out else 0,
            streak_after=(self.streak_after if self.streak else before) if out else None,
            persistence=state,
            wanted=False,
            failures=0,
        )


def look_size(progress: Progress, plan: MonitorPlan, unseen: int, since: int, at: int) -> int:
    """How many of the `unseen` requests a look at the time `at` takes in; 0: none is due.

    `since`: when the monitor was made. A backlog is cut into windows of the usual size, or into
    ten where it is longer.
    """
    schedule = plan.schedule
    if unseen >= schedule.every_requests:
        return max(schedule.every_requests, unseen // _BACKLOG)
    elapsed = at - (progress.looked_at or since)
    due = schedule.every_s is not None and elapsed >= schedule.every_s
    return unseen if (due or progress.wanted) and unseen >= schedule.min_requests else 0
