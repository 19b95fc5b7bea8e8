"""Old traces go."""

import logging
from functools import partial
from typing import Final

from sqlalchemy import ColumnElement, exists, or_, select
from sqlalchemy.orm import Session

from cluster.records import Feedback, LineageEdge, Trace, now
from deployments.monitor.duty import MonitorParts
from deployments.tracing.deletion import ROW_EDGE, delete_traces

__all__ = ["RetentionDuty"]

_log = logging.getLogger(__name__)
_DAY_S: Final = 86_400
_BATCH: Final = 500
"""Traces that one transaction deletes: others write between two of them."""
_BATCHES: Final = 40
"""Of one turn; the next one goes on."""


class RetentionDuty:
    """Deletes traces past their retention; see `deployments.monitor.duty.Duty`.

    Traces that have feedback, or of which a training row was made, have a retention of their own.
    """

    name: Final = "retention"
    period_s: Final = 60.0

    def __init__(self, parts: MonitorParts) -> None:
        self._database: Final = parts.database
        self._settings: Final = parts.settings.tracing

    async def turn(self) -> None:
        """Delete what is past its time, in batches."""
        settings = self._settings
        for valued, days in (
            (False, settings.retention_days),
            (True, settings.feedback_retention_days),
        ):
            if days is None:
                continue
            before = now() - int(days * _DAY_S)
            deleted = 0
            for _ in range(_BATCHES):
                count = await self._database.run(partial(_delete_old, before=before, valued=valued))
                deleted += count
                if count < _BATCH:
                    break
            if deleted:
                kind = "with feedback or training rows" if valued else "without feedback"
                _log.info("Deleted %d traces %s, older than %g days", deleted, kind, days)


def _delete_old(session: Session, *, before: int, valued: bool) -> int:
    has_value = _has_value()
    ids = session.scalars(
        select(Trace.id)
        .where(Trace.created_at < before, has_value if valued else ~has_value)
        .order_by(Trace.created_at)
        .limit(_BATCH)
    ).all()
    return delete_traces(session, ids) if ids else 0


def _has_value() -> ColumnElement[bool]:
    return or_(
        exists().where(Feedback.trace_id == Trace.id),
        exists().where(
            LineageEdge.project_id == Trace.project_id,
            LineageEdge.source == Trace.id,
            LineageEdge.kind == ROW_EDGE,
        ),
    )
