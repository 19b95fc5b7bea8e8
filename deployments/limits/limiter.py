"""Holds requests to the bounds of their key and project, and counts what they used."""

import logging
import time
from collections import OrderedDict
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final

from cluster.errors import DatabaseError
from cluster.records import ApiKey, Project
from cluster.sections.limits import Bounds, LimitsSettings
from cluster.tenancy import acting_in
from deployments.last_known import LastKnown
from deployments.limits.account import Account
from deployments.limits.bounds import held_bounds
from deployments.limits.budgets import Holder
from deployments.limits.lease import Lease
from deployments.limits.month import seconds_left
from deployments.limits.stored_bytes import Room, StoredBytes
from deployments.limits.usage_ledger import UsageLedger
from deployments.limits.used import Used
from deployments.tracing.prices import Prices

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from cluster.database import Database

__all__ = ["Limiter"]

_log = logging.getLogger(__name__)
_ACCOUNTS: Final = 4096
_SYSTEM: Final = "system"
_INTERNAL: Final = frozenset({"cli", _SYSTEM})
"""Everloop itself works for a project under these names: its bounds hold, no key's do."""


@dataclass(frozen=True, slots=True)
class _Held:
    key: Bounds
    project: Bounds


class Limiter:
    """One gateway replica's.

    Bounds are read anew after `refresh_s`; the last known ones, or the settings' defaults, hold
    while the database does not answer. Used on one event loop.
    """

    def __init__(
        self,
        database: "Database",
        settings: LimitsSettings,
        *,
        prices: Prices,
        replicas: int = 1,
        rates: bool = True,
        last_known_s: float = 600.0,
        clock: Callable[[], float] = time.monotonic,
        wall_clock: Callable[[], float] = time.time,
    ) -> None:
        """`rates`: whether to hold to more than budgets."""
        self.ledger: Final = UsageLedger(database, settings, wall_clock)
        self._stored: Final = StoredBytes(database)
        self._database: Final = database
        self._settings: Final = settings
        self._prices: Final = prices
        self._replicas: Final = replicas
        self._rates: Final = rates
        self._clock: Final = clock
        self._held: Final = LastKnown(
            self._read,
            ttl_s=settings.refresh_s,
            stale_s=max(settings.refresh_s, last_known_s),
            clock=clock,
        )
        self._accounts: Final[OrderedDict[Holder, Account]] = OrderedDict()

    async def open(
        self, project_id: str, key_id: str, *, spends: bool = True, may_degrade: bool = True
    ) -> Lease:
        """A lease for a request that has not begun; `Lease.begin` counts it, or refuses it.

        `spends`: it may call a model, and is refused where a month's budget is used up.
        """
        held = await self._bounds(project_id, key_id)
        project = self._account(Holder("project", project_id), held.project, project_id)
        accounts = [project]
        if key_id not in _INTERNAL:
            # Feedback tokens, and requests without keys, have one name in every project.
            holder = Holder("key", f"{project_id}/{key_id}")
            accounts.insert(0, self._account(holder, held.key, project_id, key_id))
        if any(account.bounds.has_budget for account in accounts):
            await self.ledger.know(project_id)
        return Lease(
            project_id, key_id, accounts, meter=self, spends=spends, may_degrade=may_degrade
        )

    def unbounded(self, project_id: str) -> Lease:
        """A lease for Everloop's own work for a project: it is held to nothing, and counted."""
        return Lease(project_id, _SYSTEM, (), meter=self, may_degrade=False)

    def close(self, lease: Lease, model: str | None) -> None:
        """A request that had begun has ended; count it, as one to `model` or to none.

        What its calls to models used was counted when each of them ended.
        """
        lease.end()
        self.ledger.add(lease.project_id, lease.key_id, Used(requests=1), model=model)

    def cost(self, model: str, base: str | None, prompt_tokens: int, answer_tokens: int) -> float:
        """See `Meter.cost`; a model without a price costs nothing."""
        return self._prices.cost(model, base, prompt_tokens, answer_tokens) or 0.0

    def count(self, lease: Lease, model: str, used: Used) -> None:
        """See `Meter.count`."""
        self.ledger.add(lease.project_id, lease.key_id, used, model=model)

    @asynccontextmanager
    async def storing(self, project_id: str, key_id: str, more: int) -> AsyncIterator[Room]:
        """Hold room for `more` bytes of a file until the block ends.

        Raises QuotaExceeded and Overloaded; see `StoredBytes.setting_aside`.
        """
        held = await self._bounds(project_id, key_id)
        limits = [held.project.stored_bytes]
        if key_id not in _INTERNAL:
            limits.append(held.key.stored_bytes)
        limit = min((one for one in limits if one is not None), default=None)
        async with self._stored.setting_aside(project_id, more, limit) as room:
            yield room

    async def _bounds(self, project_id: str, key_id: str) -> _Held:
        try:
            held = await self._held.get(f"{project_id}/{key_id}")
        except DatabaseError as error:
            _log.warning("Bounds of %s are not known now, defaults hold: %s", project_id, error)
            held = None
        return held or _Held(self._settings.key, self._settings.project)

    async def _read(self, name: str) -> _Held:
        project_id, _, key_id = name.partition("/")

        def read(session: "Session") -> _Held:
            key, project = session.get(ApiKey, key_id), session.get(Project, project_id)
            return _Held(
                held_bounds(self._settings.key, key.limits if key is not None else {}),
                held_bounds(self._settings.project, project.limits if project is not None else {}),
            )

        with acting_in(None):
            return await self._database.run(read, read_only=True)

    def _account(
        self, holder: Holder, bounds: Bounds, project_id: str, key_id: str | None = None
    ) -> Account:
        if not self._rates:
            bounds = _budget_of(bounds)
        account = self._accounts.pop(holder, None)
        if account is None:
            account = Account(
                holder.kind,
                bounds,
                self._replicas,
                self._clock,
                partial(self.ledger.used, project_id, key_id),
                lambda: seconds_left(self.ledger.now()),
            )
        elif account.bounds != bounds:
            account.hold(bounds)
        self._accounts[holder] = account
        if len(self._accounts) > _ACCOUNTS:
            idle = next((h for h, one in self._accounts.items() if not one.running), None)
            if idle is not None and idle != holder:
                del self._accounts[idle]
        return account


def _budget_of(bounds: Bounds) -> Bounds:
    month, cost = bounds.tokens_per_month, bounds.cost_per_month
    return Bounds(tokens_per_month=month, cost_per_month=cost)
