"""The queue in the records: a run's items, each transition one transaction, fenced by attempts.

    item:  queued ──claim──► running ──write──► done (pass, fail or error)
              ▲                 │
              └── lease lapsed ─┘
    run:   queued ──► in_progress ──► completed | failed;  canceled at any time before

An item whose lease has lapsed belongs to whoever claims it next; whoever worked on it under an
older attempt may not write any more. So there is never a second result for an item.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from typing import Any, Final

from sqlalchemy import func, or_, select, update
from sqlalchemy.orm import Session

from cluster.database import Database
from cluster.leases import lapsed
from cluster.records import Eval, EvalItem, EvalRun, now

__all__ = [
    "Claimed",
    "ClaimedItem",
    "ItemResult",
    "Plan",
    "RunLedger",
    "StoredResult",
    "stored_results",
]

_OPEN: Final = ("queued", "in_progress")
_PAGE: Final = 500


@dataclass(frozen=True, slots=True)
class Plan:
    """What a run does to each item; it never changes while the run is open."""

    run_id: str
    eval_id: str
    project_id: str
    model: str | None
    data_source: dict[str, Any]
    criteria: list[Any]

    @property
    def asks(self) -> bool:
        """Whether a model is asked for the answers."""
        return self.model is not None


@dataclass(frozen=True, slots=True)
class ClaimedItem:
    """An item, and the attempt at it that counts."""

    id: str
    number: int
    attempt: int
    item: dict[str, Any]
    given: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class Claimed:
    """What a claim took: items to work on, and how many were given up on."""

    items: tuple[ClaimedItem, ...] = ()
    given_up: int = 0


@dataclass(frozen=True, slots=True)
class ItemResult:
    """What came of an item."""

    id: str
    attempt: int
    outcome: str
    sample: dict[str, Any] | None
    scores: dict[str, Any]
    error: dict[str, Any] | None


@dataclass(frozen=True, slots=True)
class StoredResult:
    """A done item, as the summary reads it."""

    number: int
    outcome: str
    sample: dict[str, Any] | None
    scores: dict[str, Any]
    error: dict[str, Any] | None


class RunLedger:
    """Runs and items, for whoever works on them."""

    def __init__(self, database: Database, lease_s: int, max_attempts: int) -> None:
        self._database = database
        self._lease_s = lease_s
        self._max_attempts = max_attempts

    async def open_runs(self, limit: int) -> list[Plan]:
        """The oldest runs that are not at their end."""

        def read(session: Session) -> list[Plan]:
            rows = session.execute(
                select(EvalRun, Eval.testing_criteria)
                .join(Eval, Eval.id == EvalRun.eval_id)
                .where(EvalRun.status.in_(_OPEN))
                .order_by(EvalRun.id)
                .limit(limit)
            )
            return [
                Plan(
                    run_id=run.id,
                    eval_id=run.eval_id,
                    project_id=run.project_id,
                    model=run.model,
                    data_source=run.data_source,
                    criteria=criteria,
                )
                for run, criteria in rows
            ]

        return await self._database.run(read, read_only=True)

    async def claim(self, run_id: str, count: int) -> Claimed:
        """Take up to `count` items that are queued or whose lease has lapsed.

        An item at which every attempt ended without a word is written off, as an error.
        """

        def take(session: Session) -> Claimed:
            at = now()
            rows = list(
                session.scalars(
                    select(EvalItem)
                    .where(
                        EvalItem.run_id == run_id,
                        or_(
                            EvalItem.status == "queued",
                            (EvalItem.status == "running")
                            & lapsed(EvalItem.lease_until, at, self._lease_s),
                        ),
                    )
                    .order_by(EvalItem.number)
                    .limit(count)
                    .with_for_update(skip_locked=True)
                )
            )
            if not rows:
                return Claimed()
            begun = session.execute(
                update(EvalRun)
                .where(EvalRun.id == run_id, EvalRun.status.in_(_OPEN))
                .values(status="in_progress", started_at=func.coalesce(EvalRun.started_at, at))
            )
            if not getattr(begun, "rowcount", 0):
                return Claimed()
            given_up = [row for row in rows if row.attempts >= self._max_attempts]
            for row in given_up:
                row.status, row.outcome, row.finished_at = "done", "error", at
                row.scores, row.lease_until = {}, None
                row.error = {
                    "code": "worker_lost",
                    "message": f"The Evaluator died {row.attempts} times at this item.",
                }
            taken = [row for row in rows if row.attempts < self._max_attempts]
            for row in taken:
                row.status, row.attempts = "running", row.attempts + 1
                row.lease_until = at + self._lease_s
            return Claimed(tuple(_claimed(row) for row in taken), len(given_up))

        return await self._database.run(take)

    async def renew(self, items: Sequence[ClaimedItem]) -> None:
        """Keep items that are still ours for another lease."""

        def renew(session: Session) -> None:
            for item in items:
                session.execute(
                    update(EvalItem)
                    .where(*_held(item.id, item.attempt))
                    .values(lease_until=now() + self._lease_s)
                )

        if items:
            await self._database.run(renew)

    async def release(self, items: Sequence[ClaimedItem]) -> None:
        """Give items back at once, for whoever comes next."""

        def release(session: Session) -> None:
            for item in items:
                session.execute(
                    update(EvalItem)
                    .where(*_held(item.id, item.attempt))
                    .values(status="queued", lease_until=None)
                )

        if items:
            await self._database.run(release)

    async def write(self, results: Sequence[ItemResult]) -> int:
        """Write results in one transaction; returns how many counted.

        One of an attempt that counts no more is dropped: another has, or will have, the item.
        """

        def write(session: Session) -> int:
            written = 0
            for result in results:
                found = session.execute(
                    update(EvalItem)
                    .where(*_held(result.id, result.attempt))
                    .values(
                        status="done",
                        outcome=result.outcome,
                        sample=result.sample,
                        scores=result.scores,
                        error=result.error,
                        lease_until=None,
                        finished_at=now(),
                    )
                )
                written += int(getattr(found, "rowcount", 0))
            return written

        return await self._database.run(write)

    async def still_open(self, run_ids: Iterable[str]) -> set[str]:
        """Those of the runs that were neither canceled nor deleted nor ended."""
        wanted = list(run_ids)

        def read(session: Session) -> set[str]:
            return set(
                session.scalars(
                    select(EvalRun.id).where(EvalRun.id.in_(wanted), EvalRun.status.in_(_OPEN))
                )
            )

        return await self._database.run(read, read_only=True) if wanted else set()

    async def begin(self, run_id: str) -> None:
        """Have a queued run be in progress."""

        def begin(session: Session) -> None:
            session.execute(
                update(EvalRun)
                .where(EvalRun.id == run_id, EvalRun.status == "queued")
                .values(status="in_progress", started_at=now())
            )

        await self._database.run(begin)

    async def is_done(self, run_id: str) -> bool:
        """Whether every item has its result."""

        def read(session: Session) -> bool:
            left = select(EvalItem.id).where(EvalItem.run_id == run_id, EvalItem.status != "done")
            return session.scalar(left.limit(1)) is None

        return await self._database.run(read, read_only=True)

    async def results(self, run_id: str) -> list[StoredResult]:
        """Every result of a run, in the order of its items."""

        def read(session: Session) -> list[StoredResult]:
            return list(stored_results(session, run_id))

        return await self._database.run(read, read_only=True)

    async def end(self, run_id: str, summary: dict[str, Any], error: dict[str, Any] | None) -> bool:
        """End a run that is in progress; False where somebody was faster, or it was canceled."""

        def end(session: Session) -> bool:
            values: dict[str, Any] = {"error": error} if error is not None else {}
            found = session.execute(
                update(EvalRun)
                .where(EvalRun.id == run_id, EvalRun.status == "in_progress")
                .values(
                    status="completed" if error is None else "failed",
                    summary=summary,
                    finished_at=now(),
                    **values,
                )
            )
            return bool(getattr(found, "rowcount", 0))

        return await self._database.run(end)


def stored_results(session: Session, run_id: str) -> Iterator[StoredResult]:
    """The done items of a run by number, read in pages."""
    last = 0
    while True:
        rows = session.execute(
            select(
                EvalItem.number, EvalItem.outcome, EvalItem.sample, EvalItem.scores, EvalItem.error
            )
            .where(EvalItem.run_id == run_id, EvalItem.status == "done", EvalItem.number > last)
            .order_by(EvalItem.number)
            .limit(_PAGE)
        ).all()
        for number, outcome, sample, scores, error in rows:
            yield StoredResult(number, outcome or "error", sample, scores or {}, error)
        if len(rows) < _PAGE:
            return
        last = rows[-1][0]


def _held(item_id: str, attempt: int) -> tuple[Any, ...]:
    return (EvalItem.id == item_id, EvalItem.attempts == attempt, EvalItem.status == "running")


def _claimed(row: EvalItem) -> ClaimedItem:
    return ClaimedItem(row.id, row.number, row.attempts, row.item, row.given)
