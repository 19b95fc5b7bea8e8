"""What judges said before, in the records: a cache with a bound of age and of size."""

from collections.abc import Mapping
from typing import Any, Final

from sqlalchemy import delete, func, select, tuple_
from sqlalchemy.exc import IntegrityError
from sqlalchemy.orm import Session

from cluster.database import Database
from cluster.records import JudgeVerdict, now
from cluster.tenancy import acting_project
from deployments.evaluation.runs.samples import cleaned

__all__ = ["StoredVerdicts"]

_DAY_S: Final = 86_400


class StoredVerdicts:
    """A VerdictCache that outlives the process. `sweep` keeps it within its bounds."""

    def __init__(self, database: Database, *, days: int, most: int) -> None:
        self._database = database
        self._days = days
        self._most = most

    async def get(self, key: str) -> Mapping[str, Any] | None:
        """Return what was kept under `key`, unless it is too old."""

        def read(session: Session) -> dict[str, Any] | None:
            row = session.get(JudgeVerdict, (acting_project(), key))
            return None if row is None or row.created_at < self._oldest() else row.value

        return await self._database.run(read, read_only=True)

    async def put(self, key: str, value: Mapping[str, Any]) -> None:
        """Keep `value` under `key`; what another has written meanwhile is replaced."""
        kept = cleaned(value)

        def write(session: Session) -> None:
            session.merge(JudgeVerdict(project_id=acting_project(), key=key, value=kept))

        try:
            await self._database.run(write)
        except IntegrityError:  # another replica was faster by a moment: its verdict will do
            return

    async def sweep(self) -> int:
        """Drop what is too old and, beyond the bound, the oldest; returns how many went."""

        def sweep(session: Session) -> int:
            old = session.execute(
                delete(JudgeVerdict).where(JudgeVerdict.created_at < self._oldest())
            )
            gone = int(getattr(old, "rowcount", 0))
            count = session.scalar(select(func.count()).select_from(JudgeVerdict)) or 0
            if count <= self._most:
                return gone
            place = (JudgeVerdict.project_id, JudgeVerdict.key)
            oldest = select(*place).order_by(JudgeVerdict.created_at).limit(count - self._most)
            rest = session.execute(delete(JudgeVerdict).where(tuple_(*place).in_(oldest)))
            return gone + int(getattr(rest, "rowcount", 0))

        return await self._database.run(sweep)

    def _oldest(self) -> int:
        return now() - self._days * _DAY_S
