"""What the owner of a document version tells of it, and what that makes of the version's row.

An owner shows its claim with each word. A row that another has claimed since, that is in work no
longer or is detached, stays as it is, and the owner learns so.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Literal, NamedTuple

from sqlalchemy import or_, select
from sqlalchemy.orm import Session

from cluster.records import FileBatch, VectorStore, VectorStoreFile
from ingestion.errors import ErrorCode

__all__ = [
    "WORKING_STAGES",
    "Change",
    "Claim",
    "Completed",
    "Failed",
    "Outcome",
    "Progress",
    "Returned",
    "Stage",
    "carry_out",
    "fail",
]

Stage = Literal["queued", "parsing", "chunking", "embedding", "indexing"]
WORKING_STAGES: Final = ("parsing", "chunking", "embedding", "indexing")


@dataclass(frozen=True, slots=True)
class Claim:
    """A document version that the holder may work on, and the token that proves it."""

    number: int
    attempt: int
    project_id: str
    store_id: str
    file_id: str
    filename: str
    storage_key: str
    sha256: str
    alone: bool
    """No other may be in work beside it: it may be what killed its owners."""
    chunking: dict[str, Any] = field(hash=False)


@dataclass(frozen=True, slots=True)
class Progress:
    """The row is at `stage`; `values` are further columns."""

    claim: Claim
    stage: Stage
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Completed:
    """Every passage is in Milvus: make this version the one that is found."""

    claim: Claim
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Failed:
    """A version that will never be whole. `message` is what the client reads."""

    claim: Claim
    stage: Stage
    code: ErrorCode
    message: str
    values: dict[str, Any] = field(default_factory=dict)


@dataclass(frozen=True, slots=True)
class Returned:
    """The file's own parser died, by chance perhaps: queue it, or fail it after `max_attempts`."""

    claim: Claim
    stage: Stage
    message: str
    max_attempts: int


Change = Progress | Completed | Failed | Returned


class Outcome(NamedTuple):
    """What a change did. Not `held`: the claim is void, the row was left as it is."""

    held: bool
    status: str
    """The row's stage now; `lost` where the claim is void."""
    replaced: tuple[int, ...] = ()
    """Versions that are found no longer, to be purged."""


_LOST: Final = Outcome(held=False, status="lost")


def carry_out(session: Session, changes: Sequence[Change], now: int) -> list[Outcome]:
    """Carry out `changes` in order, in the caller's transaction; what each did."""
    completing = {c.claim.store_id for c in changes if isinstance(c, Completed)}
    stores = {
        # Locked in one order: two completions in a store must see each other's result.
        store.id: store
        for store in session.scalars(
            select(VectorStore)
            .where(VectorStore.id.in_(completing))
            .order_by(VectorStore.id)
            .with_for_update()
        )
    }
    return [_done(session, change, stores, now) for change in changes]


def _done(session: Session, change: Change, stores: Mapping[str, VectorStore], now: int) -> Outcome:
    row = session.scalar(
        select(VectorStoreFile)
        .where(VectorStoreFile.number == change.claim.number)
        .with_for_update()
    )
    if (
        row is None
        or row.attempts != change.claim.attempt
        or row.stage not in WORKING_STAGES
        or row.deleted_at is not None
    ):
        return _LOST
    match change:
        case Progress():
            row.stage = change.stage
            _assign(row, change.values)
            return Outcome(held=True, status=row.stage)
        case Completed():
            return _complete(session, row, change, stores.get(row.store_id), now)
        case Failed():
            fail(row, change.stage, change.code, change.message)
            _assign(row, change.values)
            return Outcome(held=True, status="failed")
        case Returned():
            row.stage = change.stage
            _queue_again(row, change.max_attempts, change.message)
            return Outcome(held=True, status=row.stage)


def _complete(
    session: Session,
    row: VectorStoreFile,
    change: Completed,
    store: VectorStore | None,
    now: int,
) -> Outcome:
    batch = session.get(FileBatch, row.batch_id) if row.batch_id else None
    row.lease_until = None
    if store is None or store.deleted_at is not None or (batch and batch.cancelled_at):
        row.stage = "cancelled"
        return Outcome(held=True, status="cancelled")
    row.stage = "completed"
    row.completed_at = now
    _assign(row, change.values)
    newer = session.scalar(_versions(row, newer=True).limit(1))
    if newer is not None:
        _replace(row, newer.number, now)
        return Outcome(held=True, status="completed", replaced=(row.number,))
    row.live = True
    older = session.scalars(_versions(row, newer=False)).all()
    for version in older:
        _replace(version, row.number, now)
    return Outcome(
        held=True, status="completed", replaced=tuple(version.number for version in older)
    )


def _replace(row: VectorStoreFile, by: int, now: int) -> None:
    row.live = False
    row.deleted_at = now
    row.replaced_by = by


def _versions(row: VectorStoreFile, *, newer: bool) -> Any:
    """Select the live versions of the row's document from other batches."""
    other = VectorStoreFile
    conditions = [
        other.store_id == row.store_id,
        other.document_key == row.document_key,
        other.live.is_(True),
        other.number > row.number if newer else other.number < row.number,
    ]
    if row.batch_id is not None:
        conditions.append(or_(other.batch_id.is_(None), other.batch_id != row.batch_id))
    order = other.number.desc() if newer else other.number
    return select(other).where(*conditions).order_by(order)


def _assign(row: VectorStoreFile, values: Mapping[str, Any]) -> None:
    for name, value in values.items():
        setattr(row, name, value)


def fail(row: VectorStoreFile, stage: str, code: ErrorCode, message: str) -> None:
    """Say of a row that it will never be whole, and why."""
    row.stage, row.failed_stage = "failed", stage
    row.error_code, row.error_message = code, message
    row.lease_until = None


def _queue_again(row: VectorStoreFile, max_attempts: int, reason: str) -> None:
    tries = row.attempts - row.deaths
    if tries >= max_attempts:
        fail(row, row.stage, "server_error", f"{reason}, {tries} times while {row.stage}.")
    else:
        row.stage, row.lease_until = "queued", None
