"""How a label moves: in one transaction, from where it was expected, into its history."""

import re
from dataclasses import dataclass
from typing import Annotated, Final, Literal

from pydantic import AfterValidator
from sqlalchemy import delete, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cluster import audit
from cluster.records import PromptLabel, PromptLabelMove, PromptRecord, now
from deployments.errors import Conflict, InvalidRequest, NotFound
from deployments.prompts.versions import LATEST, is_digest

__all__ = [
    "LabelMove",
    "LabelName",
    "delete_label",
    "move_label",
    "require_label",
    "rollback_number",
]

_LABEL: Final = re.compile(r"[a-z][a-z0-9_-]{0,31}")


def label_name(name: str) -> str:
    """`name`, where a label may have it. Raises ValueError that says why not."""
    if not _LABEL.fullmatch(name):
        raise ValueError("A label has at most 32 of a-z, 0-9, _ and -, and begins with a letter")
    if name == LATEST or is_digest(name):
        raise ValueError(f"{name} names a version already, so no label may")
    return name


LabelName = Annotated[str, AfterValidator(label_name)]


@dataclass(frozen=True, slots=True)
class LabelMove:
    """What is wanted of a label."""

    label: str
    target: int
    """Number of a version that there is."""
    reason: str | None = None
    expected: int | None = None
    """Number that it must stand at now; 0: it must be new; None: anything."""
    undone: int = 0
    """Of a rollback: moves that it takes back."""

    def kind(self, source: int | None) -> Literal["created", "moved", "rollback"]:
        """What the history calls it."""
        if self.undone:
            return "rollback"
        return "created" if source is None else "moved"


def move_label(session: Session, record: PromptRecord, move: LabelMove) -> PromptLabel:
    """Let a label stand at another version. Raises Conflict when it has moved meanwhile."""
    current = session.get(PromptLabel, (record.id, move.label))
    source = None if current is None else current.number
    if move.expected is not None and (source or 0) != move.expected:
        raise Conflict(
            f"The label {move.label} of {record.name} stands at {source or 'no version'}, not at "
            f"{move.expected or 'none'}.",
            param="expected",
            code="label_moved",
        )
    at = now()
    row = PromptLabel(
        prompt_id=record.id,
        label=move.label,
        number=move.target,
        moves=1 if current is None else current.moves + 1,
        updated_at=at,
    )
    if current is None:
        session.add(row)
        try:
            session.flush()
        except IntegrityError:
            raise _raced(record, move) from None
    else:
        found = session.execute(
            update(PromptLabel)
            .where(
                PromptLabel.prompt_id == record.id,
                PromptLabel.label == move.label,
                PromptLabel.moves == current.moves,
            )
            .values(number=row.number, moves=row.moves, updated_at=at)
        )
        if not getattr(found, "rowcount", 0):
            raise _raced(record, move)
    session.add(
        PromptLabelMove(
            prompt_id=record.id,
            label=move.label,
            source=source,
            target=move.target,
            kind=move.kind(source),
            reason=move.reason,
            undone=move.undone,
            created_at=at,
        )
    )
    audit.record(
        session,
        f"prompt.label_{move.kind(source)}",
        record.id,
        name=record.name,
        label=move.label,
        source=source,
        target=move.target,
        reason=move.reason,
    )
    return row


def require_label(session: Session, record: PromptRecord, label: str) -> PromptLabel:
    """A label of `record`. Raises NotFound."""
    row = session.get(PromptLabel, (record.id, label))
    if row is None:
        raise NotFound(
            f"The prompt {record.name} has no label {label[:64]!r}.",
            param="label",
            code="label_not_found",
        )
    return row


def rollback_number(session: Session, record: PromptRecord, label: str, steps: int) -> int:
    """Where a label stood before its last `steps` moves; those taken back do not count.

    Raises InvalidRequest where it has not moved so often since it was made.
    """
    moves = session.scalars(
        select(PromptLabelMove)
        .where(PromptLabelMove.prompt_id == record.id, PromptLabelMove.label == label)
        .order_by(PromptLabelMove.id)
    )
    before: list[int] = []
    for move in moves:
        if move.source is None:
            before = []  # it was deleted, and made again
        elif move.undone:
            del before[-move.undone :]
        else:
            before.append(move.source)
    if len(before) < steps:
        raise InvalidRequest(
            f"The label {label} has {len(before)} move(s) to take back, not {steps}.",
            param="steps",
            code="nothing_to_roll_back",
        )
    return before[-steps]


def delete_label(session: Session, record: PromptRecord, label: str) -> None:
    """Forget a label; its history stays. Raises NotFound."""
    require_label(session, record, label)
    session.execute(
        delete(PromptLabel).where(PromptLabel.prompt_id == record.id, PromptLabel.label == label)
    )
    audit.record(session, "prompt.label_deleted", record.id, name=record.name, label=label)


def _raced(record: PromptRecord, move: LabelMove) -> Conflict:
    return Conflict(
        f"The label {move.label} of {record.name} was moved at the same moment.",
        code="label_moved",
    )
