"""Document versions in the records: who works on which, how far it is, and how it ended.

Work is taken by compare-and-set. A claim raises the row's `attempts`, sets a lease and names the
new value; every later write demands that the row still has that value, is in work and is not
detached. So when two Ingestors overlap (a rolling update, a replica that was thought dead) or a
bulk job runs beside the Ingestor, a row has one owner, and an owner that lost it learns so from
its next write instead of overwriting. `attempts` is the fencing token; the lease only says when
a silent owner may be replaced.

An owner that dies had many rows in work, and which of them killed it is not known. So a row that
has seen all deaths but one that it may, a suspect, is claimed with no other beside it, and fails
for a death that was its own. One that takes long would hold everybody up: once it has lived for a
while its owner lets others, no suspects, join it, and a death is no proof any more. Of those, twice
as many are borne.
"""

import time
from collections.abc import Callable, Collection, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sqlalchemy import ColumnElement, Select, and_, func, or_, select, update
from sqlalchemy.orm import Session

from cluster.database import Database
from cluster.leases import has_lapsed, lapsed
from cluster.records import StoredFile, VectorStore, VectorStoreFile
from ingestion.changes import WORKING_STAGES, Change, Claim, Outcome, carry_out, fail
from ingestion.turns import Waiting, in_turns

__all__ = ["BULK_LEASE_S", "Ledger", "Located"]

BULK_LEASE_S: Final = 60
"""Of a bulk job, which says less often that it lives than the Ingestor; none is longer."""


class Located(NamedTuple):
    """Where a document version's passages stand."""

    project_id: str
    store_id: str
    number: int


_GIVEN_UP: Final = 0
"""The lease of a row whose owner gave it up: nothing died."""
_SUSPECTS: Final = 8
"""Rows that must be alone that one look at the queue tries for: other Ingestors may have some."""


class Ledger:
    """The transitions of `VectorStoreFile`, each a transaction."""

    def __init__(
        self, database: Database, *, lease_s: int = 15, clock: Callable[[], float] = time.time
    ) -> None:
        self._database = database
        self._lease_s = lease_s
        self._clock = clock

    @property
    def lease_s(self) -> int:
        """How long a claim holds without being renewed."""
        return self._lease_s

    async def claim(
        self,
        limit: int,
        busy: Mapping[tuple[str, str], int],
        *,
        max_attempts: int = 3,
        suspects: bool = True,
    ) -> list[Claim]:
        """Take up to `limit` queued rows, oldest first within a store; see `in_turns` for the rest.

        `busy`: files in work by project and store; who has many waits for who has few. While a
        row waits that must be alone, none is taken until nothing is in work, and then that one;
        without `suspects` such rows wait, and others are taken.
        """
        if limit <= 0:
            return []
        shared = _deaths_shared(max_attempts)
        return await self._database.run(
            lambda session: self._claim(session, limit, busy, shared, suspects=suspects)
        )

    def hold(self, session: Session, row: VectorStoreFile, *, alone: bool = False) -> Claim:
        """Claim a row that the caller has locked, or has just made, in its own transaction."""
        file = session.get(StoredFile, row.file_id)
        row.stage = "parsing"
        row.attempts += 1
        row.lease_until = self._now() + self._lease_s
        row.alone = alone
        row.passages = row.passages_done = 0
        return Claim(
            number=row.number,
            attempt=row.attempts,
            project_id=row.project_id,
            store_id=row.store_id,
            file_id=row.file_id,
            filename=row.filename,
            storage_key=file.storage_key if file else "",
            sha256=file.sha256 if file else "",
            alone=alone,
            chunking=dict(row.chunking),
        )

    def is_free(self, row: VectorStoreFile) -> bool:
        """Whether a row in work belongs to nobody any more."""
        over = has_lapsed(row.lease_until, self._now(), BULK_LEASE_S)
        return row.stage in WORKING_STAGES and over

    async def renew(self, claims: Collection[Claim]) -> set[int]:
        """Prolong the leases; returns the numbers of claims that are still held."""
        until = self._now() + self._lease_s
        return await self._prolong(claims, until)

    async def admit(self, claim: Claim) -> None:
        """Note that others join one that was alone."""
        await self._database.run(
            lambda session: session.execute(
                update(VectorStoreFile)
                .where(
                    VectorStoreFile.number == claim.number,
                    VectorStoreFile.attempts == claim.attempt,
                )
                .values(alone=False)
            )
        )

    async def release(self, claims: Collection[Claim]) -> None:
        """Give up work in hand: others may take it at once, as another attempt."""
        await self._prolong(claims, _GIVEN_UP)

    async def recover(self, max_attempts: int, *, own: Collection[int] = ()) -> int:
        """Queue rows whose owner fell silent or gave them up. Returns how many.

        One that was alone when its owner died, and has seen `max_attempts` deaths, fails; so does
        one that has seen twice as many, whoever was beside it.
        `own`: numbers that the caller works on, which are left alone.
        """
        return await self._database.run(
            lambda session: self._recover(session, max_attempts, list(own))
        )

    async def apply(self, changes: Sequence[Change]) -> list[Outcome]:
        """Carry out `changes` in order, in one transaction."""
        return await self._database.run(lambda session: carry_out(session, changes, self._now()))

    async def unpurge(self, claim: Claim) -> None:
        """Have a void claim's passages purged again: it may have written some after the purge."""
        await self._database.run(
            lambda session: session.execute(
                update(VectorStoreFile)
                .where(VectorStoreFile.number == claim.number, _dead())
                .values(purged=False)
            )
        )

    async def expire_stores(self) -> int:
        """Detach the files of stores past their `expires_after`. Returns how many files."""
        return await self._database.run(self._expire_stores)

    async def unpurged(self, limit: int) -> list[Located]:
        """Versions that are found no longer and not yet purged, oldest first."""
        query = _located().where(VectorStoreFile.purged.is_(False))
        query = query.order_by(VectorStoreFile.number).limit(limit)
        return await self._locate(query)

    async def located(self, numbers: Sequence[int]) -> list[Located]:
        """Those of `numbers` that may be purged: found no longer."""
        return await self._locate(_located().where(VectorStoreFile.number.in_(numbers)))

    async def _locate(self, query: Select[*tuple[Any, ...]]) -> list[Located]:
        return await self._database.run(
            lambda session: [Located(*row) for row in session.execute(query)], read_only=True
        )

    async def mark_purged(self, numbers: Sequence[int]) -> None:
        """Note that their passages are gone; versions of deleted stores are detached as well."""

        def mark(session: Session) -> None:
            gone = select(VectorStore.id).where(VectorStore.deleted_at.is_not(None))
            orphaned = and_(VectorStoreFile.number.in_(numbers), VectorStoreFile.store_id.in_(gone))
            session.execute(
                update(VectorStoreFile)
                .where(orphaned)
                .values(
                    live=False, deleted_at=func.coalesce(VectorStoreFile.deleted_at, self._now())
                )
                .execution_options(synchronize_session=False)
            )
            session.execute(
                update(VectorStoreFile)
                .where(VectorStoreFile.number.in_(numbers), _dead())
                .values(purged=True)
                .execution_options(synchronize_session=False)
            )

        await self._database.run(mark)

    async def backlog(self) -> int:
        """Rows that wait."""
        return await self._database.run(
            lambda session: session.scalar(select(func.count()).where(_queued())) or 0,
            read_only=True,
        )

    def _now(self) -> int:
        return int(self._clock())

    def _claim(
        self,
        session: Session,
        limit: int,
        busy: Mapping[tuple[str, str], int],
        shared: int,
        *,
        suspects: bool,
    ) -> list[Claim]:
        suspected = _suspected(session, shared) if suspects else []
        if suspected and sum(busy.values()):
            return []
        for number in suspected:
            if (claim := self._take(session, number, alone=True)) is not None:
                return [claim]
        waiting = session.execute(_foremost(limit, limit + sum(busy.values()), shared)).all()
        numbers = in_turns((Waiting(*row) for row in waiting), busy, limit)
        claims = [self._take(session, number) for number in numbers]
        return [claim for claim in claims if claim is not None]

    def _take(self, session: Session, number: int, *, alone: bool = False) -> Claim | None:
        row = session.scalar(
            select(VectorStoreFile)
            .where(VectorStoreFile.number == number, _queued())
            .with_for_update(skip_locked=True)
        )
        if row is None:  # another owner was quicker
            return None
        return self.hold(session, row, alone=alone)

    async def _prolong(self, claims: Collection[Claim], until: int) -> set[int]:
        if not claims:
            return set()
        held = list(claims)
        return await self._database.run(lambda session: self._lease(session, held, until))

    def _lease(self, session: Session, claims: list[Claim], until: int) -> set[int]:
        attempts = {claim.number: claim.attempt for claim in claims}
        rows = session.scalars(
            select(VectorStoreFile)
            .where(
                VectorStoreFile.number.in_(attempts),
                VectorStoreFile.stage.in_(WORKING_STAGES),
                VectorStoreFile.deleted_at.is_(None),
            )
            .order_by(VectorStoreFile.number)
            .with_for_update()
        ).all()
        held = [row for row in rows if row.attempts == attempts[row.number]]
        for row in held:
            row.lease_until = until
        return {row.number for row in held}

    def _recover(self, session: Session, max_attempts: int, own: list[int]) -> int:
        rows = session.scalars(
            select(VectorStoreFile)
            .where(
                VectorStoreFile.stage.in_(WORKING_STAGES),
                VectorStoreFile.deleted_at.is_(None),
                VectorStoreFile.number.not_in(own),
                lapsed(VectorStoreFile.lease_until, self._now(), BULK_LEASE_S),
            )
            .order_by(VectorStoreFile.number)
            .with_for_update()
        ).all()
        for row in rows:
            if row.lease_until == _GIVEN_UP:
                row.stage, row.lease_until = "queued", None
                continue
            row.deaths += 1
            if row.alone and row.deaths >= max_attempts:
                reason = f"Its worker died, {row.deaths} times, the last with no other file in work"
                fail(row, row.stage, "server_error", f"{reason}, while {row.stage}.")
            elif row.deaths >= 2 * max_attempts:
                reason = f"Its worker died {row.deaths} times, the last while {row.stage}"
                fail(row, row.stage, "server_error", f"{reason}.")
            else:
                row.stage, row.lease_until = "queued", None
        return len(rows)

    def _expire_stores(self, session: Session) -> int:
        now = self._now()
        stores = session.scalars(select(VectorStore).where(VectorStore.deleted_at.is_(None))).all()
        expired = [store.id for store in stores if _expired(store, now)]
        rows = session.scalars(
            select(VectorStoreFile).where(
                VectorStoreFile.store_id.in_(expired), VectorStoreFile.deleted_at.is_(None)
            )
        ).all()
        for row in rows:
            row.live = False
            row.deleted_at = now
        return len(rows)


def _located() -> Select[*tuple[Any, ...]]:
    """Select what `Located` tells of dead versions and of those in deleted stores."""
    return (
        select(VectorStoreFile.project_id, VectorStoreFile.store_id, VectorStoreFile.number)
        .join(VectorStore, VectorStore.id == VectorStoreFile.store_id)
        .where(or_(_dead(), VectorStore.deleted_at.is_not(None)))
    )


def _queued() -> ColumnElement[bool]:
    return and_(VectorStoreFile.stage == "queued", VectorStoreFile.deleted_at.is_(None))


def _suspected(session: Session, shared: int) -> Sequence[int]:
    """Numbers of the first rows in the queue that must be alone."""
    return session.scalars(
        select(VectorStoreFile.number)
        .where(_queued(), VectorStoreFile.deaths >= shared)
        .order_by(VectorStoreFile.number)
        .limit(_SUSPECTS)
    ).all()


def _foremost(each: int, most: int, shared: int) -> Select[*tuple[Any, ...]]:
    """Select what `Waiting` tells of `most` rows, the first of each project, `each` of a store."""
    row = VectorStoreFile
    turn = func.row_number().over(partition_by=row.store_id, order_by=row.number).label("turn")
    ranked = (
        select(row.number, row.project_id, row.store_id, turn)
        .where(_queued(), row.deaths < shared)
        .subquery()
    )
    by_project = func.row_number().over(
        partition_by=ranked.c.project_id, order_by=(ranked.c.turn, ranked.c.number)
    )
    return (
        select(ranked.c.number, ranked.c.project_id, ranked.c.store_id)
        .where(ranked.c.turn <= each)
        .order_by(by_project, ranked.c.number)
        .limit(most)
    )


def _dead() -> ColumnElement[bool]:
    """Whether a version is found no longer, or never will be."""
    return and_(
        VectorStoreFile.live.is_(False),
        or_(
            VectorStoreFile.deleted_at.is_not(None),
            VectorStoreFile.stage.in_(("failed", "cancelled")),
        ),
    )


def _deaths_shared(max_attempts: int) -> int:
    """Deaths that a row may see with others in work; after them it is alone."""
    return max(1, max_attempts - 1)


def _expired(store: VectorStore, now: int) -> bool:
    days = (store.expires_after or {}).get("days")
    return days is not None and now >= store.last_active_at + int(days) * 86_400
