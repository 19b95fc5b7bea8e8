"""What keys use in a month: counted in memory, written in batches, read back from the records."""

import asyncio
import logging
import time
from collections import OrderedDict
from collections.abc import Callable, Mapping
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
ByKey = dict[str, Used]


class UsageLedger:
    """Counts of one gateway replica, beside what the records say of all of them.

    What is counted is written within `flush_interval_s`; a crash loses no more than that. What
    other replicas write is seen within `refresh_s`. While the database does not answer, counting
    goes on in memory, a row for each key. Used on one event loop.
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
        self._written: Final[OrderedDict[Month, tuple[float, ByKey]]] = OrderedDict()
        """As the records say, and when that was read."""
        self._pending: Final[dict[Month, ByKey]] = {}
        self._writing: tuple[Month, ByKey] | None = None
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
        for by_key in known:
            for key, used in by_key.items():
                if key_id in {None, key}:
                    total += used
        return total

    def add(self, project_id: str, key_id: str, used: Used) -> None:
        """Count it."""
        self._add((project_id, month_of(self._clock())), key_id, used)
        if self._flushing is None or self._flushing.done():
            self._flushing = asyncio.get_running_loop().create_task(self._flush_soon())

    async def flush(self) -> None:
        """Write what was counted. Raises DatabaseError; then it still waits to be written."""
        async with self._lock:
            for month in list(self._pending):
                counted = self._pending.pop(month)
                self._writing = (month, counted)
                try:
                    by_key = await self._run(partial(self._write, month, counted))
                except DatabaseError:
                    self._writing = None
                    for key_id, used in counted.items():
                        self._add(month, key_id, used)
                    raise
                self._writing = None
                self._learn(month, by_key)

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

    def _add(self, month: Month, key_id: str, used: Used) -> None:
        by_key = self._pending.setdefault(month, {})
        by_key[key_id] = by_key.get(key_id, Used()) + used

    async def _run(self, work: "Callable[[Session], ByKey]") -> ByKey:
        with acting_in(None):
            return await self._database.run(work)

    def _is_fresh(self, month: Month) -> bool:
        read_at = self._written[month][0] if month in self._written else None
        return read_at is not None and 0 <= self._clock() - read_at < self._settings.refresh_s

    def _learn(self, month: Month, by_key: ByKey) -> None:
        self._written[month] = (self._clock(), by_key)
        self._written.move_to_end(month)
        if len(self._written) > _KEPT:
            self._written.popitem(last=False)

    def _write(self, month: Month, counted: Mapping[str, Used], session: "Session") -> ByKey:
        project_id, name = month
        now = int(self._clock())
        for key_id, used in sorted(counted.items()):  # one order, so that no two wait in a circle
            names = {"project_id": project_id, "key_id": key_id, "month": name}
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
        by_key = _read(month, session)
        self._alert(session, month, by_key, counted)
        return by_key

    def _alert(
        self, session: "Session", month: Month, by_key: ByKey, counted: Mapping[str, Used]
    ) -> None:
        project_id, name = month
        project = session.get(Project, project_id)
        bounds = held_bounds(self._settings.project, project.limits if project else {})
        total = sum(by_key.values(), Used())
        holder = Holder("project", project_id)
        raise_budget_alerts(session, project_id, holder, name, bounds, total)
        for key in session.scalars(select(ApiKey).where(ApiKey.id.in_(list(counted)))):
            bounds = held_bounds(self._settings.key, key.limits)
            used = by_key.get(key.id, Used())
            raise_budget_alerts(session, project_id, Holder("key", key.id), name, bounds, used)


_NOTHING: Final = {"requests": 0, "prompt_tokens": 0, "completion_tokens": 0, "cost": 0.0}


def _read(month: Month, session: "Session") -> ByKey:
    rows = session.scalars(
        select(Usage).where(Usage.project_id == month[0], Usage.month == month[1])
    )
    return {
        row.key_id: Used(row.requests, row.prompt_tokens, row.completion_tokens, row.cost)
        for row in rows
    }
