"""Old idempotency keys go, and those beyond what a project may have."""

import logging
from functools import partial
from typing import Final

from sqlalchemy import delete, func, select, tuple_
from sqlalchemy.orm import Session

from cluster.records import IdempotencyKey, now
from deployments.monitor.duty import MonitorParts

__all__ = ["KeyRetentionDuty"]

_log = logging.getLogger(__name__)
_BATCH: Final = 1000
_BATCHES: Final = 100
"""Of one turn; the next one goes on."""


class KeyRetentionDuty:
    """Forgets keys; see `deployments.monitor.duty.Duty`."""

    name: Final = "idempotency"
    period_s: Final = 60.0

    def __init__(self, parts: MonitorParts) -> None:
        self._database: Final = parts.database
        self._settings: Final = parts.settings.idempotency

    async def turn(self) -> None:
        """Forget in batches; those that are being carried out stay."""
        before = now() - int(self._settings.keep_hours * 3600)
        forgotten = 0
        for _ in range(_BATCHES):
            count = await self._database.run(partial(_forget_old, before=before))
            count += await self._database.run(
                partial(_forget_oldest, allowed=self._settings.max_keys)
            )
            forgotten += count
            if not count:
                break
        if forgotten:
            _log.info("Forgot %d idempotency keys", forgotten)


def _forget_old(session: Session, *, before: int) -> int:
    keys = session.execute(
        select(IdempotencyKey.project_id, IdempotencyKey.key)
        .where(
            IdempotencyKey.created_at < before, func.coalesce(IdempotencyKey.lease_until, 0) < now()
        )
        .limit(_BATCH)
    ).all()
    return _forget(session, [(project, key) for project, key in keys])


def _forget_oldest(session: Session, *, allowed: int) -> int:
    """Of each project with more than `allowed`, those beyond it."""
    forgotten = 0
    counts = select(IdempotencyKey.project_id, func.count()).group_by(IdempotencyKey.project_id)
    for project, count in session.execute(counts.having(func.count() > allowed)).all():
        keys = session.scalars(
            select(IdempotencyKey.key)
            .where(
                IdempotencyKey.project_id == project,
                func.coalesce(IdempotencyKey.lease_until, 0) < now(),
            )
            .order_by(IdempotencyKey.created_at)
            .limit(min(_BATCH, count - allowed))
        ).all()
        forgotten += _forget(session, [(project, key) for key in keys])
    return forgotten


def _forget(session: Session, keys: list[tuple[str, str]]) -> int:
    if keys:
        named = tuple_(IdempotencyKey.project_id, IdempotencyKey.key)
        session.execute(delete(IdempotencyKey).where(named.in_(keys)))
    return len(keys)
