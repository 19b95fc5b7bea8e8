"""The queue in the records. Each transition is one transaction, fenced by the attempt's number.

    queued ──claim──► running ──► succeeded | failed | cancelled | paused
      ▲                  │
      └── yield, crash ──┘

A running row has a lease that its process renews. One whose lease has lapsed belongs to nobody, and
whoever wrote under an older attempt may not write any more.
"""

from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, Final, Literal, cast

from sqlalchemy import func, select, update
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cluster.database import Database
from cluster.ids import new_id
from cluster.records import Adapter, FineTuningEvent, FineTuningJob, GateRun, now
from cluster.tenancy import acting_in
from training.errors import SupersededError

__all__ = ["LEASE_S", "START_LEASE_S", "Attempt", "Queue", "Wish", "Work", "job_event"]

LEASE_S: Final = 45
START_LEASE_S: Final = 180
"""From the claim to the process's first word: imports, and a cluster that may have to grow."""

Wish = Literal["cancel", "pause", "yield"]
Row = FineTuningJob | GateRun
_KINDS: Final[dict[str, type[FineTuningJob] | type[GateRun]]] = {
    "job": FineTuningJob,
    "gate": GateRun,
}

_GRANTED: Final = {
    "cancel": ("cancelled", "Cancelled"),
    "pause": ("paused", "Paused"),
    "yield": ("queued", "Gave its workers back to serving"),
    None: ("queued", "Stopped, to go on"),
}


@dataclass(frozen=True, slots=True)
class Work:
    """A row that is not at its end."""

    id: str
    project_id: str
    kind: Literal["job", "gate"]
    status: str
    attempts: int
    crashes: int
    wish: str | None
    submission: str | None
    lease_until: int
    not_before: int


class Queue:
    """What whoever starts the work does with the rows, of all projects. Blocking."""

    def __init__(self, database: Database) -> None:
        self._database = database

    def open_work(self) -> list[Work]:
        """Every row that waits or runs, oldest first, gate runs before jobs."""
        with self._database.session(read_only=True) as session:
            gates = session.scalars(
                select(GateRun)
                .where(GateRun.status.in_(("queued", "running")))
                .order_by(GateRun.id)
            )
            jobs = session.scalars(
                select(FineTuningJob)
                .where(FineTuningJob.status.in_(("queued", "running")))
                .order_by(FineTuningJob.id)
            )
            return [*(_work(row, "gate") for row in gates), *(_work(row, "job") for row in jobs)]

    def claim(self, work: Work) -> Work | None:
        """Take a queued row for one more attempt; None where somebody was faster."""
        kind = _KINDS[work.kind]
        at = now()
        with self._database.session() as session:
            found = session.execute(
                update(kind)
                .where(kind.id == work.id, kind.status == "queued", kind.attempts == work.attempts)
                .values(
                    status="running",
                    attempts=work.attempts + 1,
                    submission=f"{work.id}-{work.attempts + 1}",
                    lease_until=at + START_LEASE_S,
                    started_at=func.coalesce(kind.started_at, at),
                )
            )
            if not getattr(found, "rowcount", 0):
                return None
            row = cast("Row | None", session.get(kind, work.id))
            return None if row is None else _work(row, work.kind)

    def put_back(self, work: Work, message: str, *, crashed: bool, pause_s: int) -> None:
        """Queue a running row again: its process could not start or ended without a word.

        A wish that it did not live to hear is granted.
        """
        with acting_in(work.project_id), self._database.session() as session:
            row = cast("Row | None", session.get(_KINDS[work.kind], work.id, with_for_update=True))
            if row is None or row.status != "running" or row.attempts != work.attempts:
                return
            row.status, row.lease_until, row.submission = "queued", None, None
            if crashed:
                row.crashes += 1
            if isinstance(row, FineTuningJob):
                row.not_before = now() + pause_s
                add_event(session, row.id, message, level="warn")
                if row.wish is not None:
                    row.status = _grant(session, row, "")

    def give_up(self, work: Work, message: str, code: str) -> None:
        """End a running row as failed."""
        error = {"code": code, "message": message, "param": None}
        self._end(
            work, {"status": "failed", "error": error, "finished_at": now()}, message, "error"
        )

    def cancelled(self, work: Work, message: str) -> None:
        """End a running row as cancelled, where its process did not do so itself."""
        wishes = {"wish": None} if work.kind == "job" else {}
        self._end(work, {"status": "cancelled", "finished_at": now(), **wishes}, message)

    def ask_to_yield(self, work: Work) -> None:
        """Have a running job stop at a checkpoint and wait in the queue again."""
        with acting_in(work.project_id), self._database.session() as session:
            found = session.execute(
                update(FineTuningJob)
                .where(
                    FineTuningJob.id == work.id,
                    FineTuningJob.status == "running",
                    FineTuningJob.wish.is_(None),
                )
                .values(wish="yield")
            )
            if getattr(found, "rowcount", 0):
                add_event(
                    session, work.id, "Serving needs the machine: stopping at a checkpoint for now."
                )

    def _end(self, work: Work, changes: dict[str, Any], message: str, level: str = "info") -> None:
        kind = _KINDS[work.kind]
        with acting_in(work.project_id), self._database.session() as session:
            found = session.execute(
                update(kind)
                .where(kind.id == work.id, kind.status == "running", kind.attempts == work.attempts)
                .values(**changes)
            )
            if getattr(found, "rowcount", 0) and work.kind == "job":
                add_event(session, work.id, message, level=level)


class Attempt:
    """One attempt at one row, seen from the process that makes it. Blocking; safe in threads.

    From `begin` on, what it writes belongs to the row's project, in whatever thread.
    """

    def __init__(
        self, database: Database, kind: Literal["job", "gate"], work_id: str, number: int
    ) -> None:
        self._database = database
        self._kind = _KINDS[kind]
        self.is_job = kind == "job"
        self.id = work_id
        self.number = number
        self._project_id: str | None = None

    def begin(self) -> Row:
        """The row. Raises SupersededError unless this attempt is the one that counts."""
        with self._session() as session:
            row = self._row(session)
            row.lease_until = now() + LEASE_S
            self._project_id = row.project_id
            return row

    def renew(self) -> None:
        """Keep the row for LEASE_S seconds more. Raises SupersededError."""
        with self._session() as session:
            self._row(session).lease_until = now() + LEASE_S

    def wish(self) -> Wish | None:
        """What somebody wants of the row now. Raises SupersededError."""
        with self._session(read_only=True) as session:
            row = cast("Row | None", session.get(self._kind, self.id))
            self._check(row)
            return getattr(row, "wish", None)

    def write(self, changes: dict[str, Any], *records: Any) -> None:
        """Change the row and add records, in one transaction. Raises SupersededError.

        A record that is there already is replaced, but for its `created_at`, and for an adapter
        version, which never changes.
        """
        self._transact(changes, records)

    def stopped(self, changes: dict[str, Any], *records: Any, note: str, pause_s: int) -> str:
        """End a job that stopped at a checkpoint as its row wishes by now; answers its status.

        Cancelled or paused; else it is queued again, and one that yielded waits for `pause_s`.
        Raises SupersededError.
        """

        def end(session: Session, row: Row) -> None:
            assert isinstance(row, FineTuningJob)  # noqa: S101 - gate runs do not stop
            row.not_before = now() + (pause_s if row.wish == "yield" else 0)
            row.status = _grant(session, row, note)

        return self._transact(changes, records, end)

    def _transact(
        self,
        changes: dict[str, Any],
        records: Sequence[Any],
        end: Callable[[Session, Row], None] = lambda _session, _row: None,
    ) -> str:
        for last in (False, True):
            try:
                with self._session() as session:
                    row = self._row(session)
                    for name, value in changes.items():
                        setattr(row, name, value)
                    for record in records:
                        _keep(session, record)
                    end(session, row)
                    return row.status
            except IntegrityError:  # another job has made the same adapter at the same time
                if last:
                    raise
        raise AssertionError("unreachable")

    @contextmanager
    def _session(self, *, read_only: bool = False) -> Iterator[Session]:
        with acting_in(self._project_id), self._database.session(read_only=read_only) as session:
            yield session

    def _row(self, session: Session) -> Row:
        row = cast("Row | None", session.get(self._kind, self.id, with_for_update=True))
        return self._check(row)

    def _check(self, row: Row | None) -> Row:
        if row is None or row.status != "running" or row.attempts != self.number:
            state = "is gone" if row is None else f"is {row.status}, at attempt {row.attempts}"
            raise SupersededError(f"Attempt {self.number} at {self.id} counts no more: it {state}.")
        return row


def add_event(
    session: Session, job_id: str, message: str, *, level: str = "info", **data: Any
) -> None:
    """Add an event of a job."""
    session.add(job_event(job_id, message, level=level, **data))


def job_event(
    job_id: str, message: str, *, level: str = "info", kind: str = "message", **data: Any
) -> FineTuningEvent:
    """An event of a job."""
    return FineTuningEvent(
        id=new_id("ftevent"),
        job_id=job_id,
        level=level,
        type=kind,
        message=message,
        data=data,
        created_at=now(),
    )


def _keep(session: Session, record: Any) -> None:
    known = session.get(type(record), record.id)
    if isinstance(known, Adapter):
        known.deleted_at = None
        return
    if known is not None:
        record.created_at = known.created_at
    session.merge(record)


def _grant(session: Session, row: FineTuningJob, note: str) -> str:
    """Tell that the job has stopped as it was wished, and answer its status then."""
    status, said = _GRANTED[row.wish]
    add_event(session, row.id, f"{said}{note}.")
    row.wish = None
    if status == "cancelled":
        row.finished_at = now()
    return status


def _work(row: Row, kind: Literal["job", "gate"]) -> Work:
    return Work(
        id=row.id,
        project_id=row.project_id,
        kind=kind,
        status=row.status,
        attempts=row.attempts,
        crashes=row.crashes,
        wish=getattr(row, "wish", None),
        submission=row.submission,
        lease_until=row.lease_until or 0,
        not_before=getattr(row, "not_before", 0),
    )
