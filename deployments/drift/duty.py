"""Makes the looks that are due. A monitor is leased to one Monitor at a time."""

import asyncio
import logging
import zlib
from dataclasses import dataclass, replace
from typing import Any, Final

from sqlalchemy import delete, select, update
from sqlalchemy.orm import Session

from cluster.errors import EverloopError
from cluster.ids import new_id
from cluster.leases import lapsed
from cluster.records import DriftMonitor, DriftReport, now
from cluster.tenancy import acting_in
from deployments.alerts.raising import raise_alert, resolve_alert
from deployments.drift.look import Window, look
from deployments.drift.plan import FirstRequests, MonitorPlan
from deployments.drift.progress import Progress, look_size
from deployments.drift.reading import Span, count_requests, read_requests
from deployments.drift.report import LookReport
from deployments.drift.rule import Decision
from deployments.drift.signals import Observed
from deployments.drift.vectors import QuestionVectors
from deployments.monitor.duty import MonitorParts

__all__ = ["ALERT_KIND", "DriftDuty"]

ALERT_KIND: Final = "drift"
_log = logging.getLogger(__name__)
_LEASE_S: Final = 900
_AT_ONCE: Final = 8
"""Looks of one turn."""
_FEWEST_REFERENCE: Final = 200
_FIRST_PAUSE_S: Final = 10
_LONGEST_PAUSE_S: Final = 3600
_TOLD_TOPICS: Final = 5
_KEPT_REPORTS: Final = 500
"""Of a monitor; a report with topics has some ten kilobytes."""


class _NotYetError(EverloopError):
    """A look cannot be made of what there is."""


@dataclass(frozen=True, slots=True)
class _Claimed:
    """A monitor that this Monitor may look for."""

    id: str
    project_id: str
    name: str
    plan: MonitorPlan
    progress: Progress
    created_at: int
    lease: int


@dataclass(frozen=True, slots=True)
class _Sides:
    """What a look compares."""

    reference: list[Observed]
    reference_total: int
    current: list[Observed]
    current_total: int
    streak: list[Observed]
    """Of earlier looks in the streak."""


class DriftDuty:
    """See `deployments.monitor.duty.Duty`."""

    name: Final = "drift"

    def __init__(self, parts: MonitorParts) -> None:
        self._parts: Final = parts
        self._most: Final = parts.settings.drift.max_window
        self._vectors: Final = QuestionVectors(
            parts.database, parts.embedder, parts.settings.embedding.id
        )

    @property
    def period_s(self) -> float:
        """As the settings say."""
        return self._parts.settings.drift.period_s

    async def turn(self) -> None:
        """Make the looks that are due, at most eight: a backlog does not hold the others up."""
        for _ in range(_AT_ONCE):
            claimed = await self._parts.database.run(self._claim)
            if claimed is None:
                return
            with acting_in(claimed.project_id):
                await self._look_or_put_off(claimed)

    def _claim(self, session: Session) -> _Claimed | None:
        at = now()
        free = lapsed(DriftMonitor.lease_until, at, _LEASE_S)
        row = session.scalar(
            select(DriftMonitor)
            .where(DriftMonitor.status == "active", DriftMonitor.next_at <= at, free)
            .order_by(DriftMonitor.next_at, DriftMonitor.id)
            .limit(1)
        )
        if row is None:
            return None
        taken: Any = session.execute(
            update(DriftMonitor)
            .where(DriftMonitor.id == row.id, free)
            .values(lease_until=at + _LEASE_S)
            .execution_options(synchronize_session=False)
        )
        if not taken.rowcount:
            return None
        plan = MonitorPlan.model_validate(row.settings)
        progress = Progress.of(row.state)
        return _Claimed(
            row.id, row.project_id, row.name, plan, progress, row.created_at, at + _LEASE_S
        )

    async def _look_or_put_off(self, claimed: _Claimed) -> None:
        try:
            await self._look(claimed)
        except Exception as error:  # noqa: BLE001 - a look's edge: it is tried again
            if not isinstance(error, EverloopError):
                _log.exception("A look of the drift monitor %s failed", claimed.id)
            await self._put_off(claimed, error)

    async def _look(self, claimed: _Claimed) -> None:
        progress = await self._with_reference(claimed)
        claimed = replace(claimed, progress=progress)
        unseen = await self._count(claimed, progress.unseen(claimed.plan, claimed.created_at))
        size = 0
        if progress.reference_until or not isinstance(claimed.plan.reference, FirstRequests):
            size = look_size(progress, claimed.plan, unseen, claimed.created_at, now())
        if size == 0:
            if progress.wanted:
                raise _NotYetError(_why_not(claimed.plan, progress, unseen))
            await self._wait(claimed)
            return
        sides = await self._read(claimed, size)
        reference = await self._window(claimed.plan, sides.reference, sides.reference_total)
        current = await self._window(claimed.plan, sides.current, sides.current_total)
        streak = None
        if sides.streak:
            together = [*sides.streak, *sides.current]
            streak = await self._window(claimed.plan, together, len(together))
        report, decision = await asyncio.to_thread(
            look,
            reference,
            current,
            claimed.plan,
            progress.persistence,
            seed=zlib.crc32(f"{claimed.id}/{progress.looks}".encode()),
            streak=streak,
        )
        await self._parts.database.run(lambda s: self._keep(s, claimed, report, decision))
        with acting_in(None):  # what is kept is bounded over all projects
            await self._vectors.prune()

    async def _with_reference(self, claimed: _Claimed) -> Progress:
        """The progress, with the end of the first requests where they are complete by now."""
        progress, wanted = claimed.progress, claimed.plan.reference
        if not isinstance(wanted, FirstRequests) or progress.reference_until is not None:
            return progress
        span = Span(begin=claimed.created_at)
        if await self._count(claimed, span) < wanted.requests:
            return progress
        first, _ = await self._parts.database.run(
            lambda s: read_requests(
                s, claimed.plan.filters, span, first=wanted.requests, most=wanted.requests
            ),
            read_only=True,
        )
        return replace(progress, reference_until=first[-1].trace_id)

    async def _count(self, claimed: _Claimed, span: Span) -> int:
        filters = claimed.plan.filters
        return await self._parts.database.run(
            lambda s: count_requests(s, filters, span), read_only=True
        )

    async def _read(self, claimed: _Claimed, size: int) -> _Sides:
        plan, progress = claimed.plan, claimed.progress

        def read(session: Session) -> _Sides:
            unseen = progress.unseen(plan, claimed.created_at)
            current, total = read_requests(
                session, plan.filters, unseen, first=size, most=self._most
            )
            span = progress.reference(plan, claimed.created_at, current[0].at)
            reference, before = read_requests(session, plan.filters, span, most=self._most)
            streak: list[Observed] = []
            if progress.streak:
                earlier = progress.earlier(plan, claimed.created_at)
                streak, _ = read_requests(session, plan.filters, earlier, most=self._most)
            return _Sides(reference, before, current, total, streak)

        sides = await self._parts.database.run(read, read_only=True)
        if len(sides.reference) < _FEWEST_REFERENCE:
            raise _NotYetError(
                f"The reference has {len(sides.reference)} requests; it needs {_FEWEST_REFERENCE}.",
                fix="Wait for more, or make a monitor with another reference.",
            )
        return sides

    async def _window(self, plan: MonitorPlan, requests: list[Observed], total: int) -> Window:
        vectors = await self._vectors.of(requests) if plan.embeds else None
        return Window(requests, vectors, total)

    def _keep(
        self, session: Session, claimed: _Claimed, report: LookReport, decision: Decision
    ) -> None:
        row = self._ours(session, claimed)
        if row is None:
            return
        report_id = new_id("drift")
        alert_id = None
        if decision.action == "raise":
            alert_id = raise_alert(
                session,
                kind=ALERT_KIND,
                source_id=row.id,
                title=f"Drift: {row.name or row.id}",
                body=_alert_body(report_id, report),
            )
        elif decision.action == "resolve":
            alert_id = resolve_alert(session, kind=ALERT_KIND, source_id=row.id)
        session.add(
            DriftReport(
                id=report_id,
                monitor_id=row.id,
                drifted=bool(decision.out),
                alert_id=alert_id,
                body=report.model_dump(mode="json"),
            )
        )
        session.flush()
        _forget_reports(session, row.id)
        row.state = claimed.progress.looked(
            report.current.last_trace,
            claimed.progress.after or claimed.progress.reference_until,
            decision.state,
            out=bool(decision.out),
            at=now(),
        ).body()
        row.error, row.lease_until = None, None
        row.next_at = now()

    async def _wait(self, claimed: _Claimed) -> None:
        """Nothing is due: look again in a while."""

        def write(session: Session) -> None:
            row = self._ours(session, claimed)
            if row is not None:
                row.state = replace(claimed.progress, failures=0).body()
                row.lease_until = None
                row.next_at = now() + max(1, int(self.period_s))

        await self._parts.database.run(write)

    async def _put_off(self, claimed: _Claimed, error: Exception) -> None:
        """Record why the look failed, and try it again later and later."""
        failures = claimed.progress.failures + 1
        pause = min(_FIRST_PAUSE_S * 2 ** min(failures - 1, 16), _LONGEST_PAUSE_S)

        def write(session: Session) -> None:
            row = self._ours(session, claimed)
            if row is not None:
                row.error = {
                    "message": str(error) or type(error).__name__,
                    "type": type(error).__name__.lstrip("_"),
                    "at": now(),
                }
                row.state = replace(claimed.progress, failures=failures, wanted=False).body()
                row.lease_until = None
                row.next_at = now() + pause

        await self._parts.database.run(write)

    @staticmethod
    def _ours(session: Session, claimed: _Claimed) -> DriftMonitor | None:
        """The record while its lease is ours: what was changed meanwhile has ended it."""
        row = session.get(DriftMonitor, claimed.id, with_for_update=True)
        return row if row is not None and row.lease_until == claimed.lease else None


def _forget_reports(session: Session, monitor_id: str) -> None:
    """Delete the oldest looks beyond what is kept; those of alerts stay."""
    own = select(DriftReport.id).where(DriftReport.monitor_id == monitor_id)
    last = session.scalar(own.order_by(DriftReport.id.desc()).offset(_KEPT_REPORTS).limit(1))
    if last is not None:
        session.execute(
            delete(DriftReport).where(
                DriftReport.monitor_id == monitor_id,
                DriftReport.id <= last,
                DriftReport.alert_id.is_(None),
            )
        )


def _why_not(plan: MonitorPlan, progress: Progress, unseen: int) -> str:
    if isinstance(plan.reference, FirstRequests) and progress.reference_until is None:
        return f"The reference is not complete: it wants {plan.reference.requests} requests."
    return f"There are {unseen} new requests; a look needs {plan.schedule.min_requests}."


def _alert_body(report_id: str, report: LookReport) -> dict[str, Any]:
    moved = [one for one in report.topics if one.moved != "no"]
    return {
        "report": report_id,
        "summary": report.summary,
        "signals": [
            one.model_dump(mode="json") for one in report.signals if one.name in report.persisted
        ],
        "topics": [one.model_dump(mode="json", exclude={"traces"}) for one in moved[:_TOLD_TOPICS]],
    }
