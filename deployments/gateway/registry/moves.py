"""How an alias moves: in one transaction, from the version that was expected, into its history."""

from dataclasses import dataclass
from typing import Any, Literal

from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cluster.audit import record
from cluster.records import Adapter, Alias, AliasMove, GateRun, now
from cluster.tenancy import acting_project
from deployments.errors import Conflict, InvalidRequest, NotFound
from deployments.experiments.changes import end_for_alias
from deployments.serving import Serving

__all__ = [
    "Move",
    "aliases_of",
    "apply_move",
    "check_gate",
    "current_alias",
    "delete_alias",
    "live_adapter",
    "rollback_target",
]

Kind = Literal["created", "promoted", "override", "rollback"]


@dataclass(frozen=True, slots=True)
class Move:
    """What is wanted of an alias."""

    alias: str
    target: str
    kind: Kind
    reason: str | None = None
    gate_id: str | None = None
    expected: str | None = None
    """What it must point at now; None is anything."""
    undone: int = 0
    """Of a rollback: moves that it takes back."""
    serving: Serving | None = None
    """Prompt and retrieval that go with the target; None: those that the alias has."""
    expected_version: int | None = None
    """How often it must have moved by now; None is anything."""


def current_alias(session: Session, name: str, default_alias: str, default: str) -> Alias | None:
    """The alias as it stands; the default one exists also before it was ever moved."""
    row = session.get(Alias, (acting_project(), name))
    if row is None and name == default_alias:
        return Alias(
            name=name,
            target=default,
            version=0,
            created_at=0,
            updated_at=0,
        )
    return row


def apply_move(session: Session, move: Move, current: Alias | None) -> Alias:
    """Point the alias at its target. Raises Conflict when it has moved meanwhile.

    An experiment that runs on its traffic ends: its control is what the alias was.
    """
    source = None if current is None else current.target
    before = 0 if current is None else current.version
    if move.expected_version is not None and before != move.expected_version:
        raise Conflict(
            f"The alias {move.alias} has moved {before} times, not {move.expected_version}: it is "
            "not what the experiment's arms were compared with any more.",
            code="alias_moved",
        )
    if move.expected is not None and source != move.expected:
        raise Conflict(
            f"The alias {move.alias} points at {source}, not at {move.expected} any more.",
            code="alias_moved",
        )
    kept = None if current is None else current.serving
    serving = kept if move.serving is None else move.serving.to_json()
    at, version = now(), before + 1
    if current is None or current.version == 0:
        row = Alias(
            name=move.alias,
            target=move.target,
            serving=serving,
            version=version,
            created_at=at,
            updated_at=at,
        )
        session.add(row)
        try:
            session.flush()
        except IntegrityError:
            raise _moved(move.alias) from None
    else:
        found = session.execute(
            update(Alias)
            .where(
                Alias.name == move.alias,
                Alias.version == current.version,
            )
            .values(
                target=move.target,
                serving=serving,
                version=version,
                updated_at=at,
            )
        )
        if not getattr(found, "rowcount", 0):
            raise _moved(move.alias)
        row = Alias(
            name=move.alias,
            target=move.target,
            serving=serving,
            version=version,
            created_at=current.created_at,
            updated_at=at,
        )
    session.add(
        AliasMove(
            alias=move.alias,
            version=version,
            source=source,
            source_serving=kept,
            target=move.target,
            serving=serving,
            kind=move.kind,
            reason=move.reason,
            gate_id=move.gate_id,
            undone=move.undone,
            created_at=at,
        )
    )
    end_for_alias(session, move.alias, f"The alias moved to {move.target} ({move.kind}).")
    if move.gate_id is not None and move.kind == "promoted":
        session.execute(update(GateRun).where(GateRun.id == move.gate_id).values(promoted=True))
    record(
        session,
        f"alias.{move.kind}",
        move.alias,
        version=version,
        source=source,
        target=move.target,
        serving=serving,
        gate=move.gate_id,
        reason=move.reason,
    )
    return row


def check_gate(session: Session, gate_id: str, alias: str, candidate: str) -> str:
    """What the gate run that allows the alias to move to the candidate compared it with.

    The candidate is an adapter or an arm. Raises InvalidRequest unless the run is whole, of this
    alias and candidate, and says to promote.
    """
    run = session.get(GateRun, gate_id)
    if run is None:
        raise NotFound(f"There is no gate run {gate_id[:64]!r}.", param="gate")
    for field, wanted, found in (
        ("alias", alias, run.alias),
        ("adapter", candidate, run.adapter_id),
        ("status", "completed", run.status),
        ("verdict", "promote", run.verdict),
    ):
        if wanted != found:
            raise InvalidRequest(
                f"The gate run {run.id} does not allow this: its {field} is {found}, not {wanted}.",
                param="gate",
                code="gate_not_passed",
            )
    return str(run.champion)


def rollback_target(session: Session, name: str, steps: int) -> tuple[str, Serving]:
    """What the alias pointed at before its last `steps` moves; those taken back do not count.

    Raises InvalidRequest where it has not moved so often.
    """
    moves = session.scalars(
        select(AliasMove).where(AliasMove.alias == name).order_by(AliasMove.number)
    )
    before: list[tuple[str, Serving]] = []
    for move in moves:
        if move.undone:
            del before[-move.undone :]
        elif move.source is not None:
            before.append((move.source, Serving.of_json(move.source_serving)))
    if len(before) < steps:
        raise InvalidRequest(
            f"The alias {name} has {len(before)} move(s) to take back, not {steps}.",
            param="steps",
            code="nothing_to_roll_back",
        )
    return before[-steps]


def aliases_of(session: Session, target: str) -> list[str]:
    """Aliases that point at `target`."""
    return list(session.scalars(select(Alias.name).where(Alias.target == target)))


def delete_alias(session: Session, name: str) -> bool:
    """Forget an alias; its history stays. False where there was none."""
    end_for_alias(session, name, "The alias was deleted.")
    found: Any = session.execute(delete(Alias).where(Alias.name == name))
    if found.rowcount:
        record(session, "alias.deleted", name)
    return bool(found.rowcount)


def live_adapter(session: Session, adapter_id: str) -> Adapter | None:
    """The adapter, unless it is deleted or another project's."""
    row = session.get(Adapter, adapter_id)
    return row if row is not None and row.deleted_at is None else None


def _moved(alias: str) -> Conflict:
    return Conflict(f"The alias {alias} was moved at the same moment.", code="alias_moved")
