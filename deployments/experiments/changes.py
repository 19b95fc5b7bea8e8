"""How an experiment changes: in one transaction, from the version that was read, with its event.

draft ──start──► running ──► decided | stopped
"""

import secrets
from collections.abc import Mapping, Sequence
from typing import Any, Final

from sqlalchemy import select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cluster.arms import arm_reference
from cluster.audit import record
from cluster.ids import new_id
from cluster.records import Experiment, ExperimentEvent, GateRun, now
from deployments.alerts.raising import raise_alert
from deployments.errors import Conflict, NotFound
from deployments.experiments.arms import Arm
from deployments.experiments.plan import Plan

__all__ = [
    "ARM_STOPPED",
    "SAMPLE_RATIO",
    "add_event",
    "conclude",
    "end_for_alias",
    "expect",
    "find_experiment",
    "make_experiment",
    "note_promotion",
    "promote_winner",
    "ramp_to",
    "running_with",
    "start",
    "stop_arm",
    "tell_ratio",
    "update_draft",
    "version_compared",
]

ARM_STOPPED: Final = "experiment.arm_stopped"
SAMPLE_RATIO: Final = "experiment.sample_ratio"


def find_experiment(session: Session, experiment_id: str) -> Experiment:
    """The experiment. Raises NotFound."""
    row = session.get(Experiment, experiment_id)
    if row is None:
        raise NotFound(
            f"No such experiment: {experiment_id[:128]}.", param="experiment_id", code="not_found"
        )
    return row


def make_experiment(
    session: Session,
    *,
    name: str,
    alias: str,
    arms: Sequence[Arm],
    plan: Plan,
    meta: Mapping[str, str],
) -> Experiment:
    """Make a draft."""
    row = Experiment(
        id=new_id("exp"),
        name=name,
        alias=alias,
        status="draft",
        arms=[arm.model_dump(mode="json") for arm in arms],
        settings=plan.model_dump(mode="json"),
        salt=secrets.token_hex(8),
        state={"step": 0, "step_at": 0, "share": plan.ramp[0].share, "stopped": {}},
        meta=dict(meta),
        version=1,
        created_at=now(),
    )
    session.add(row)
    session.flush()
    add_event(session, row, "created", f"{len(arms)} arms on the alias {alias}.")
    return row


def add_event(
    session: Session, row: Experiment, kind: str, message: str, **data: Any
) -> ExperimentEvent:
    """Note that something happened, here and in the audit log."""
    event = ExperimentEvent(
        id=new_id("expevent"), experiment_id=row.id, type=kind, message=message, data=data
    )
    session.add(event)
    record(
        session,
        f"experiment.{kind}",
        row.id,
        project_id=row.project_id,
        alias=row.alias,
        message=message,
    )
    return event


def start(session: Session, row: Experiment, arms: Sequence[Arm], alias_version: int) -> None:
    """Let it run with `arms`, which leave nothing open any more.

    Raises Conflict where it is no draft, or where another one runs on the same alias.
    """
    expect(row, "draft")
    other = running_on(session, row.alias)
    if other is None:
        at = now()
        plan = Plan.model_validate(row.settings)
        state = {
            "step": 0,
            "step_at": at,
            "share": plan.ramp[0].share,
            "stopped": {},
            "alias_version": alias_version,
        }
        try:
            _change(
                session,
                row,
                status="running",
                arms=[arm.model_dump(mode="json") for arm in arms],
                state=state,
                started_at=at,
            )
        except IntegrityError:
            raise _taken(row.alias, "another experiment") from None
        add_event(session, row, "started", f"{state['share']:.0%} of the traffic of {row.alias}.")
        return
    raise _taken(row.alias, f"the experiment {other.id}")


def update_draft(
    session: Session,
    row: Experiment,
    *,
    name: str | None,
    arms: Sequence[Arm] | None,
    plan: Plan | None,
    meta: Mapping[str, str] | None,
) -> None:
    """Change what is given. Raises Conflict for arms or settings of what is no draft any more."""
    values: dict[str, Any] = {}
    if arms is not None or plan is not None:
        expect(row, "draft")
    if arms is not None:
        values["arms"] = [arm.model_dump(mode="json") for arm in arms]
    if plan is not None:
        values["settings"] = plan.model_dump(mode="json")
        values["state"] = {**row.state, "share": plan.ramp[0].share}
    if name is not None:
        values["name"] = name
    if meta is not None:
        values["meta"] = dict(meta)
    _change(session, row, **values)


def running_on(session: Session, alias: str) -> Experiment | None:
    """The experiment that runs on the alias's traffic."""
    return session.scalar(
        select(Experiment).where(
            Experiment.alias == alias,
            Experiment.status == "running",
        )
    )


def running_with(session: Session, model: str) -> list[str]:
    """Ids of experiments that run with an arm of this model or adapter."""
    running = select(Experiment).where(Experiment.status == "running")
    return [
        row.id
        for row in session.scalars(running)
        if any(
            arm["model"] == model and arm["name"] not in row.state["stopped"] for arm in row.arms
        )
    ]


def ramp_to(session: Session, row: Experiment, share: float, step: int) -> None:
    """Let another share of the traffic in."""
    expect(row, "running")
    before = row.state["share"]
    _change(session, row, state={**row.state, "share": share, "step": step, "step_at": now()})
    add_event(session, row, "ramped", f"{share:.0%} of the traffic, after {before:.0%}.")


def stop_arm(
    session: Session, row: Experiment, name: str, reason: str, by: str, **data: Any
) -> None:
    """Take an arm out; its users go back to the alias. `by`: `guardrail`, `comparison` or `person`.

    What a guardrail stops is told in an alert. The experiment ends with the last arm beside the
    control. Raises NotFound, and Conflict for the control or an arm that has been stopped.
    """
    expect(row, "running")
    known = [Arm.model_validate(arm) for arm in row.arms]
    if name not in {arm.name for arm in known}:
        raise NotFound(
            f"{row.id} has no arm {name[:64]!r}; it has {', '.join(arm.name for arm in known)}.",
            param="arm",
            code="not_found",
        )
    stopped = row.state["stopped"]
    if name == known[0].name:
        raise Conflict(
            f"{name} is the control: stop the experiment instead.", code="control_not_stopped"
        )
    if name in stopped:
        raise Conflict(f"The arm {name} is stopped already.", code="arm_stopped")
    told = {"reason": reason, "by": by, "at": now(), **data}
    stopped = {**stopped, name: told}
    _change(session, row, state={**row.state, "stopped": stopped})
    add_event(session, row, "arm_stopped", f"{name}: {reason}", arm=name, by=by, **data)
    if by == "guardrail":
        raise_alert(
            session,
            kind=ARM_STOPPED,
            source_id=row.id,
            title=f"The arm {name} of the experiment {row.name or row.id} was stopped: {reason}",
            body={"experiment": row.id, "alias": row.alias, "arm": name, **told},
        )
    if all(arm.name in stopped for arm in known[1:]):
        conclude(session, row, "stopped", {"outcome": "no_arm_left", "reason": "All were stopped."})


def tell_ratio(session: Session, row: Experiment, message: str, body: dict[str, Any]) -> None:
    """Raise the alarm that users are not split as they should be. Told once."""
    if row.state.get("sample_ratio"):
        return
    _change(session, row, state={**row.state, "sample_ratio": {"at": now(), **body}})
    add_event(session, row, "sample_ratio", message, **body)
    raise_alert(
        session,
        kind=SAMPLE_RATIO,
        source_id=row.id,
        title=f"The experiment {row.name or row.id} is not split as it should be: {message}",
        body={"experiment": row.id, "alias": row.alias, **body},
    )


def conclude(
    session: Session,
    row: Experiment,
    status: str,
    decision: dict[str, Any],
    report: dict[str, Any] | None = None,
) -> None:
    """End it: `decided` by what was found out, or `stopped`. `decision` has `outcome`, `reason`."""
    expect(row, "running")
    values: dict[str, Any] = {"status": status, "decision": decision, "ended_at": now()}
    if report is not None:
        values["report"] = report
    _change(session, row, **values)
    add_event(session, row, status, str(decision["reason"]), **decision)


def end_for_alias(session: Session, alias: str, reason: str) -> None:
    """End what runs on an alias that moves: its control is what the alias was."""
    row = running_on(session, alias)
    if row is not None:
        conclude(session, row, "stopped", {"outcome": "alias_moved", "reason": reason})


def promote_winner(session: Session, row: Experiment, plan: Plan, arm: str) -> bool:
    """Queue the gate run that compares the arm with the alias, or leave it to a person.

    Whether a gate run was queued.
    """
    if plan.promotion.mode == "manual":
        note_promotion(session, row, {"arm": arm, "mode": "manual", "status": "waiting"})
        return False
    gate = GateRun(
        id=new_id("gate"),
        status="queued",
        alias=row.alias,
        adapter_id=arm_reference(row.id, arm),
        evaluation_file=str(plan.promotion.evaluation_file),
        settings=plan.promotion.gate,
        created_at=now(),
    )
    session.add(gate)
    note_promotion(session, row, {"arm": arm, "mode": "gate", "gate": gate.id, "status": "queued"})
    return True


def note_promotion(session: Session, row: Experiment, promotion: dict[str, Any]) -> None:
    """Write how far the winner's promotion has come."""
    _change(session, row, promotion=promotion)
    message = f"{promotion['arm']}: {promotion['status']}"
    add_event(session, row, "promotion", message, **promotion)


def version_compared(session: Session, experiment_id: str, alias: str) -> int:
    """How often the alias had moved when the experiment's arms were compared with it.

    Raises Conflict for a draft, and for an experiment on another alias.
    """
    row = find_experiment(session, experiment_id)
    expect(row, "running", "decided", "stopped")
    if row.alias != alias:
        raise Conflict(
            f"The experiment {row.id} is on the alias {row.alias}, not on {alias}.",
            code="wrong_alias",
        )
    return int(row.state["alias_version"])


def expect(row: Experiment, *statuses: str) -> None:
    """Raise Conflict unless it is in one of these."""
    if row.status not in statuses:
        raise Conflict(
            f"The experiment {row.id} is {row.status}, not {' or '.join(statuses)}.",
            code="wrong_status",
        )


def _change(session: Session, row: Experiment, **values: Any) -> None:
    """Write `values`, unless somebody was faster: then raise Conflict, and nothing happens."""
    found = session.execute(
        update(Experiment)
        .where(Experiment.id == row.id, Experiment.version == row.version)
        .values(version=row.version + 1, **values)
        .execution_options(synchronize_session=False)
    )
    if not getattr(found, "rowcount", 0):
        raise Conflict(
            f"The experiment {row.id} was changed at the same moment; read it again.",
            code="experiment_changed",
        )
    session.refresh(row)


def _taken(alias: str, who: str) -> Conflict:
    return Conflict(
        f"The traffic of the alias {alias} is taken by {who}; stop it first.", code="alias_taken"
    )
