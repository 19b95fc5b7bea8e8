"""What keys use in a month: counted in memory, written in batches, read back from the records."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Collection, Mapping
from contextlib import suppress
from functools import partial
from typing import TYPE_CHECKING, Final

from sqlalchemy import select, update

from cluster.errors import DatabaseError
from cluster.inserting import insert_missing
from cluster.records import ApiKey, Project, Usage
from cluster.sections.limits import LimitsSettings
from cluster.tenancy import acting_in
from deployments.limits.bounds import held_bounds
from deployments.limits.budgets import Holder, raise_budget_alerts
from deployments.limits.month import month_of
from deployments.limits.used import Used

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from cluster.database import Database

__all__ = ["UsageLedger"]

_log = logging.getLogger(__name__)
_KEPT: Final = 1024
Month = tuple[str, str]
"""Project and month."""
Counts = dict[tuple[str, str], Used]
"""By key and model; an empty model stands for none."""


class UsageLedger:
    """Counts of one gateway replica, beside what the records say of all of them.

    What is counted is written within `flush_interval_s`; a crash loses no more than that. What
    other replicas write is seen within `refresh_s`. While the database does not answer, counting
    goes on in memory, a row for each key and model. Used on one event loop.
    """

    def __init__(
        self,
        database: "Database",
        settings: LimitsSettings,
        clock: Callable[[], float] = time.time,
    ) -> None:
        self._database: Final = database
        self._settings: Final = settings
        self._clock: Final = clock
        self._written: Final[OrderedDict[Month, tuple[float, Counts]]] = OrderedDict()
        """As the records say, and when that was read."""
        self._pending: Final[dict[Month, Counts]] = {}
        self._writing: tuple[Month, Counts] | None = None
        self._lock: Final = asyncio.Lock()
        """Of whoever reads or writes: a count is either pending or written, never both."""
        self._flushing: asyncio.Task[None] | None = None

    def now(self) -> float:
        """Seconds since the epoch, by which months are told."""
        return self._clock()

    async def know(self, project_id: str) -> None:
        """Have read what the project used this month, not longer ago than `refresh_s`.

        Where the database does not answer, what is known counts, and it is asked again after
        `refresh_s`.
        """
        month = (project_id, month_of(self._clock()))
        if self._is_fresh(month):
            return
        async with self._lock:
            if not self._is_fresh(month):
                try:
                    self._learn(month, await self._run(partial(_read, month)))
                except DatabaseError as error:
                    _log.warning("What %s used is not known now: %s", project_id, error)
                    self._learn(month, self._written.get(month, (0.0, {}))[1])

    def used(self, project_id: str, key_id: str | None = None) -> Used:
        """Use in the current month of a project, or of one of its keys, as far as it is known."""
        month = (project_id, month_of(self._clock()))
        total = Used()
        known = [self._written.get(month, (0.0, {}))[1], self._pending.get(month, {})]
        if self._writing is not None and self._writing[0] == month:
            known.append(self._writing[1])
        for counts in known:
            for (key, _), used in counts.items():
                if key_id in {None, key}:
                    total += used
        return total

    def add(self, project_id: str, key_id: str, used: Used, *, model: str | None = None) -> None:
        """Count it, as used of a model or of none."""
        self._add((project_id, month_of(self._clock())), (key_id, model or ""), used)
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.get_running_loop().create_task(self._flush_soon())

    async def flush(self) -> None:
        """Write what was counted. Raises DatabaseError; then it still waits to be written."""
        async with self._lock:
            for month in list(self._pending):
                counted = self._pending.pop(month)
                self._writing = (month, counted)
                try:
                    counts = await self._run(partial(self._write, month, counted))
                except DatabaseError:
                    self._writing = None
                    for of, used in counted.items():
                        self._add(month, of, used)
                    raise
                self._writing = None
                self._learn(month, counts)

    async def close(self) -> None:
        """Write what is left, where the database answers."""
        if self._flushing is not None:
            self._flushing.cancel()
            with suppress(asyncio.CancelledError):
                await self._flushing
        with suppress(DatabaseError):
            await self.flush()

    async def _flush_soon(self) -> None:
        while self._pending:
            await asyncio.sleep(self._settings.flush_interval_s)
            try:
                await asyncio.shield(self.flush())
            except DatabaseError as error:
                _log.warning("Usage could not be written, it is tried again: %s", error)

    def _add(self, month: Month, of: tuple[str, str], used: Used) -> None:
        counts = self._pending.setdefault(month, {})
        counts[of] = counts.get(of, Used()) + used

    async def _run(self, work: "Callable[[Session], Counts]") -> Counts:
        with acting_in(None):
            return await self._database.run(work)

    def _is_fresh(self, month: Month) -> bool:
        read_at = self._written[month][0] if month in self._written else None
        return read_at is not None and 0 <= self._clock() - read_at < self._settings.refresh_s

    def _learn(self, month: Month, counts: Counts) -> None:
        self._written[month] = (self._clock(), counts)
        self._written.move_to_end(month)
        if len(self._written) > _KEPT:
            self._written.popitem(last=False)

    def _write(
        self, month: Month, counted: Mapping[tuple[str, str], Used], session: "Session"
    ) -> Counts:
        project_id, name = month
        now = int(self._clock())
        for of in sorted(counted):  # one order, so that no two wait in a circle
            used = counted[of]
            names = {"project_id": project_id, "key_id": of[0], "month": name, "model": of[1]}
            insert_missing(session, Usage, [{**names, **_NOTHING, "updated_at": now}])
            session.execute(
                update(Usage)
                .filter_by(**names)
                .values(
                    requests=Usage.requests + used.requests,
                    prompt_tokens=Usage.prompt_tokens + used.prompt_tokens,
                    completion_tokens=Usage.completion_tokens + used.completion_tokens,
                    cost=Usage.cost + used.cost,
                    updated_at=now,
                )
            )
        counts = _read(month, session)
        self._alert(session, month, counts, {key_id for key_id, _ in counted})
        return counts

    def _alert(
        self, session: "Session", month: Month, counts: Counts, keys: Collection[str]
    ) -> None:
        project_id, name = month
        project = session.get(Project, project_id)
        bounds = held_bounds(self._settings.project, project.limits if project else {})
        total = sum(counts.values(), Used())
        holder = Holder("project", project_id)
        raise_budget_alerts(session, project_id, holder, name, bounds, total)
        for key in session.scalars(select(ApiKey).where(ApiKey.id.in_(list(keys)))):
            bounds = held_bounds(self._settings.key, key.limits)
            used = sum((used for (owner, _), used in counts.items() if owner == key.id), Used())
            raise_budget_alerts(session, project_id, Holder("key", key.id), name, bounds, used)


_NOTHING: Final = {"requests": 0, "prompt_tokens": 0, "completion_tokens": 0, "cost": 0.0}


def _read(month: Month, session: "Session") -> Counts:
    rows = session.scalars(
        select(Usage).where(Usage.project_id == month[0], Usage.month == month[1])
    )
    return {
        (row.key_id, row.model): Used(
            row.requests, row.prompt_tokens, row.completion_tokens, row.cost
        )
        for row in rows
    }
