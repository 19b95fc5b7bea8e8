"""What the Monitor does for experiments: reads what happened, and acts on it.

All that is known is made anew from the records after a restart. Each change expects the version of
the experiment that was read, so two Monitors at once do everything once.
"""

import asyncio
import time
from collections.abc import Callable
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select, update

from cluster.errors import EverloopError
from cluster.records import Experiment, GateRun
from cluster.tenancy import acting_in
from deployments.errors import Conflict
from deployments.experiments import changes
from deployments.experiments.arms import Arm
from deployments.experiments.plan import Plan
from deployments.experiments.requests import id_at, read_seen, read_values
from deployments.experiments.watch import Breach, Watch
from deployments.monitor.duty import MonitorParts

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from deployments.experiments.statistics import Decision

__all__ = ["ExperimentDuty"]

_RECENT_S: Final = 20.0
"""Most requests end, and are written, so soon after they began."""
_WHOLE_EVERY_S: Final = 15.0
_REPORT_EVERY_S: Final = 1.0
_SPARE_S: Final = 60.0
_SHARED_EVERY_S: Final = 60.0
_HOUR_S: Final = 3600
_OPEN_PROMOTIONS: Final = ("queued", "running")


@dataclass(slots=True)
class _Followed:
    """An experiment, and what was made of its requests."""

    plan: Plan
    watch: Watch
    whole_at: float = 0.0
    reported_at: float = 0.0
    shared_at: float = 0.0
    """When it was last told that all arms fail alike."""
    report: dict[str, Any] | None = None


class ExperimentDuty:
    """See `deployments.monitor.duty.Duty`."""

    name: Final = "experiments"

    def __init__(self, parts: MonitorParts, clock: Callable[[], float] = time.time) -> None:
        self._parts: Final = parts
        self._clock: Final = clock
        self._followed: Final[dict[str, _Followed]] = {}

    @property
    def period_s(self) -> float:
        """As the settings say."""
        return self._parts.settings.experiments.period_s

    async def turn(self) -> None:
        """Look at each experiment that runs, and at promotions under way."""
        running, promoting = await self._parts.database.run(_open, read_only=True)
        for gone in self._followed.keys() - {row.id for row in running}:
            del self._followed[gone]
        failures: list[Exception] = []
        for row in running:
            try:
                with acting_in(row.project_id):
                    await self._look(row)
            except Conflict:
                continue  # somebody changed it meanwhile; the next turn sees how
            except EverloopError as error:
                failures.append(error)
        for row in promoting:
            with acting_in(row.project_id):
                await self._parts.database.run(partial(_follow_gate, row=row))
        if failures:
            raise ExceptionGroup("experiments", failures)

    async def _look(self, row: Experiment) -> None:
        followed = await self._read(row)
        for breach in followed.watch.breaches():
            if not breach.shared:
                told = await asyncio.to_thread(self._told, followed.watch)
                stop = partial(_stop_arm, experiment_id=row.id, breach=breach, report=told)
                await self._parts.database.run(stop)
            elif self._clock() - followed.shared_at >= _SHARED_EVERY_S:
                followed.shared_at = self._clock()
                tell = partial(_tell_shared, experiment_id=row.id, breach=breach)
                await self._parts.database.run(tell)
        await self._settle(followed)
        await self._act(row.id, followed)

    async def _read(self, row: Experiment) -> _Followed:
        """Read requests: mostly recent ones, and from time to time all that may have ended."""
        at, started = self._clock(), float(row.started_at or 0)
        followed = self._followed.get(row.id)
        if followed is None:
            plan = Plan.model_validate(row.settings)
            arms = [Arm.model_validate(arm) for arm in row.arms]
            followed = _Followed(plan, Watch(arms, plan, started))
            since = started - 1
        elif at - followed.whole_at >= _WHOLE_EVERY_S:
            since = at - self._parts.settings.http.request_timeout_s - _SPARE_S
            followed.watch.forget_before(id_at(since))
        else:
            since = at - _RECENT_S
        if since < at - _RECENT_S:
            followed.whole_at = at
        for arm, told in row.state["stopped"].items():
            followed.watch.stop(arm, float(told["at"]))
        seen = await self._parts.database.run(
            lambda session: read_seen(session, row.id, id_at(since)), read_only=True
        )
        await asyncio.to_thread(followed.watch.see, seen)
        self._followed[row.id] = followed
        return followed

    async def _settle(self, followed: _Followed) -> None:
        due = followed.watch.due(self._clock())
        if not due:
            return
        metric = followed.plan.metric
        try:
            values = await self._parts.database.run(
                lambda session: read_values(session, metric, due), read_only=True
            )
        except EverloopError:
            followed.watch.wait_again(due)
            raise
        await asyncio.to_thread(followed.watch.settle, due, values)

    async def _act(self, experiment_id: str, followed: _Followed) -> None:
        """Tell what is known; ramp up, drop arms, or end."""
        at, watch = self._clock(), followed.watch
        if at - followed.reported_at < _REPORT_EVERY_S:
            return
        ratio = await asyncio.to_thread(watch.ratio)
        decision = watch.decide(ratio_alarm=ratio.alarm)
        report = watch.report(ratio, decision)
        changed = report != followed.report
        followed.reported_at, followed.report = at, report

        def act(session: "Session") -> bool:
            row = changes.find_experiment(session, experiment_id)
            if row.status != "running":
                return False
            if ratio.alarm:
                changes.tell_ratio(session, row, _RATIO_OFF, report["sample_ratio"])
            told = {"at": int(at), **report}
            if changed:
                session.execute(
                    update(Experiment).where(Experiment.id == row.id).values(report=told)
                )
            return _advance(session, row, followed.plan, decision, watch.units, at, told)

        if await self._parts.database.run(act):
            await self._wake_trainer()

    def _told(self, watch: Watch) -> dict[str, Any]:
        """The report as things stand."""
        ratio = watch.ratio()
        decision = watch.decide(ratio_alarm=ratio.alarm)
        return {"at": int(self._clock()), **watch.report(ratio, decision)}

    async def _wake_trainer(self) -> None:
        try:
            await self._parts.trainer.wake()
        except EverloopError:
            return  # it looks by itself too


_RATIO_OFF: Final = "the arms did not get the users that their weights ask for"


def _open(session: "Session") -> tuple[list[Experiment], list[Experiment]]:
    """Experiments that run, and those whose winner is on its way through the gate."""
    running = session.scalars(select(Experiment).where(Experiment.status == "running"))
    promoting = session.scalars(
        select(Experiment).where(
            Experiment.status == "decided",
            Experiment.promotion["status"].as_string().in_(_OPEN_PROMOTIONS),
        )
    )
    return list(running), list(promoting)


def _stop_arm(
    session: "Session", experiment_id: str, breach: Breach, report: dict[str, Any]
) -> None:
    row = changes.find_experiment(session, experiment_id)
    if row.status == "running" and breach.arm not in row.state["stopped"]:
        session.execute(update(Experiment).where(Experiment.id == row.id).values(report=report))
        changes.stop_arm(session, row, breach.arm, breach.reason, "guardrail", **breach.data)


def _tell_shared(session: "Session", experiment_id: str, breach: Breach) -> None:
    row = changes.find_experiment(session, experiment_id)
    message = f"{breach.arm}: {breach.reason} The control fares no better, so it goes on."
    changes.add_event(session, row, "guardrail_shared", message, arm=breach.arm, **breach.data)


def _advance(
    session: "Session",
    row: Experiment,
    plan: Plan,
    decision: "Decision",
    units: int,
    at: float,
    report: dict[str, Any],
) -> bool:
    """Do what follows from the decision; whether a gate run was queued."""
    hours = (at - float(row.started_at or 0)) / _HOUR_S
    over = units >= plan.max_units or hours >= plan.max_hours
    outcome, reason = decision.outcome, decision.reason
    if outcome == "continue" and over:
        outcome = "undecided"
        reason = f"No arm has won after {units} users in {hours:.1f} hours."
    if outcome not in {"continue", "blocked"} or over:
        found = {
            "outcome": outcome,
            "arm": decision.arm,
            "reason": reason,
            "standings": dict(decision.standings),
        }
        changes.conclude(session, row, "decided", found, report)
        if decision.arm is not None:
            return changes.promote_winner(session, row, plan, decision.arm)
        return False
    for arm in decision.dropped:
        changes.stop_arm(session, row, arm, "It is worse than the control.", "comparison")
    step = row.state["step"]
    if outcome == "continue" and row.status == "running" and step + 1 < len(plan.ramp):
        held = plan.ramp[step]
        long = held.seconds is not None and at - row.state["step_at"] >= held.seconds
        if long or (held.units is not None and units >= held.units):
            changes.ramp_to(session, row, plan.ramp[step + 1].share, step + 1)
    return False


def _follow_gate(session: "Session", row: Experiment) -> None:
    """Note how far the gate has come with a winner."""
    promotion = dict(row.promotion or {})
    gate = session.get(GateRun, promotion["gate"])
    if gate is None or gate.status in {"failed", "cancelled"}:
        status = "failed"
    elif gate.promoted:
        status = "promoted"
    elif gate.status != "completed":
        status = gate.status
    elif gate.verdict != "promote":
        status = str(gate.verdict)
    else:
        status = "failed" if gate.error else "running"
    if status != promotion["status"]:
        session.add(row)
        changes.note_promotion(session, row, {**promotion, "status": status})
