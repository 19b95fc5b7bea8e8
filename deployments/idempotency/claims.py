"""Who carries out the request of a key: rows of `idempotency_keys`.

A row is claimed by an attempt, which renews its lease while it works. The transaction that makes
something writes `made` into the row and asks that the attempt still has it (`Claim.fence`): of
two attempts one is rolled back. A row whose lease lapsed before anything was made is claimed anew;
one of which something was made never is.
"""

import json
from collections.abc import Callable, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final, cast

from sqlalchemy import CursorResult, Update, delete, inspect, or_, select, update

from cluster.ids import new_id
from cluster.inserting import insert_missing
from cluster.records import AuditEvent, IdempotencyKey, LineageEdge, now
from cluster.tenancy import acting_project
from deployments.errors import Conflict
from deployments.idempotency.body_digest import BodyDigest

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from cluster.database import Database

__all__ = ["Claim", "Claims", "Known"]

_BESIDE: Final = (AuditEvent, LineageEdge)
"""Records about what was made."""
_NAMES: Final = 8
_NAMED_BY: Final = ("id", "name", "file_id", "version")


@dataclass(frozen=True, slots=True)
class Known:
    """What the records say of a key that is not ours to carry out."""

    digest: str
    status: int | None
    answer: str | None
    made: tuple[str, ...] | None
    """Names of what was made; None: nothing yet."""
    running: bool
    """Whether somebody works on it."""

    @property
    def settled(self) -> bool:
        """Whether it is known what came of it."""
        return self.status is not None or (self.made is not None and not self.running)

    @classmethod
    def of(cls, row: IdempotencyKey) -> "Known":
        """What a row says."""
        made = None if row.made is None else tuple(json.loads(row.made))
        running = row.status is None and (row.lease_until or 0) > now()
        return cls(row.request_digest, row.status, row.answer, made, running)


class Claims:
    """The keys of the acting project. Every method may raise DatabaseError."""

    def __init__(self, database: "Database", lease_s: int) -> None:
        self._database = database
        self.lease_s: Final = lease_s

    async def claim(self, key: str, route: str) -> "Claim | Known":
        """Take the key, where it is new or nobody works on it; else what is known of it."""
        attempt, project = new_id("try"), acting_project()

        def take(session: "Session") -> "Claim | Known":
            lease = now() + self.lease_s
            row: dict[str, Any] = {
                "project_id": project,
                "key": key,
                "route": route,
                "request_digest": "",
            }
            row |= {"attempt": attempt, "lease_until": lease, "created_at": now()}
            insert_missing(session, IdempotencyKey, [row])
            lapsed = or_(IdempotencyKey.lease_until.is_(None), IdempotencyKey.lease_until <= now())
            free = (IdempotencyKey.made.is_(None), IdempotencyKey.status.is_(None), lapsed)
            session.execute(
                update(IdempotencyKey)
                .where(IdempotencyKey.project_id == project, IdempotencyKey.key == key, *free)
                .values(attempt=attempt, lease_until=lease, request_digest="", route=route)
            )
            found = session.get_one(IdempotencyKey, (project, key))
            if found.attempt == attempt:
                return Claim(self._database, project, key, attempt, self.lease_s)
            return Known.of(found)

        return await self._database.run(take)

    async def look(self, key: str) -> Known | None:
        """What is known of a key; None: it is free."""

        def read(session: "Session") -> Known | None:
            row = session.get(IdempotencyKey, (acting_project(), key))
            return None if row is None else Known.of(row)

        return await self._database.run(read, read_only=True)


@dataclass(frozen=True, slots=True)
class Claim:
    """A key that is ours to carry out, as long as no other attempt took it."""

    database: "Database"
    project: str
    key: str
    attempt: str
    lease_s: int

    def fence(self, digest: BodyDigest) -> Callable[["Session", Sequence[object]], None]:
        """For `cluster.fencing.fenced_by`: writes what a transaction makes into the key's row."""

        def ask(session: "Session", new: Sequence[object]) -> None:
            made = json.dumps(_names(new), ensure_ascii=False)
            kept = session.scalar(select(IdempotencyKey.made).where(*self._mine()))
            values: dict[str, Any] = {"request_digest": digest.value()}
            values |= {"made": made if kept in {None, "[]"} else kept}
            if not _changed(session, update(IdempotencyKey).where(*self._mine()).values(values)):
                raise Conflict(
                    "Another attempt carries out the request of this Idempotency-Key.",
                    param="Idempotency-Key",
                    code="idempotency_key_in_use",
                    retry_after_s=1,
                )

        return ask

    async def renew(self) -> None:
        """Say that the work goes on."""
        await self._write({"lease_until": now() + self.lease_s})

    async def finish(self, digest: BodyDigest, status: int, answer: str | None) -> None:
        """Keep the answer. None: it is not kept, and what was made is told instead."""
        values = {"status": status, "answer": answer, "request_digest": digest.value()}
        await self._write({**values, "lease_until": None})

    async def release(self) -> None:
        """Give the key up: it is free again where nothing was made."""

        def forget(session: "Session") -> None:
            session.execute(
                delete(IdempotencyKey).where(*self._mine(), IdempotencyKey.made.is_(None))
            )

        await self.database.run(forget)
        await self._write({"lease_until": None})

    async def _write(self, values: dict[str, Any]) -> None:
        def write(session: "Session") -> None:
            session.execute(update(IdempotencyKey).where(*self._mine()).values(values))

        await self.database.run(write)

    def _mine(self) -> tuple[Any, ...]:
        return (
            IdempotencyKey.project_id == self.project,
            IdempotencyKey.key == self.key,
            IdempotencyKey.attempt == self.attempt,
        )


def _changed(session: "Session", statement: Update) -> bool:
    return cast("CursorResult[Any]", session.execute(statement)).rowcount == 1


def _names(new: Sequence[object]) -> list[str]:
    """What the new records are called in paths, the first one first; bounded."""
    names: list[str] = []
    for record in new:
        if isinstance(record, _BESIDE):
            continue
        columns = inspect(type(record)).columns.keys()
        found = [getattr(record, name) for name in _NAMED_BY if name in columns]
        names += [str(name) for name in found if name not in {None, ""}]
    return list(dict.fromkeys(names))[:_NAMES]
