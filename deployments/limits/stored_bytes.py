"""What a project stores in files, held against its limit while uploads are under way."""

from collections import Counter
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from functools import partial
from typing import TYPE_CHECKING, Final

from sqlalchemy import func, select

from cluster.records import Project, StoredFile
from deployments.errors import Overloaded, QuotaExceeded

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from cluster.database import Database

__all__ = ["Room", "StoredBytes"]

Room = Callable[["Session"], None]
"""Takes the room that was set aside, in the transaction that then adds the file's record. Raises
QuotaExceeded where other gateways took it meanwhile."""


class StoredBytes:
    """One gateway replica's.

    It knows the uploads that it holds itself, so that they do not fill the store together; what is
    stored in the end is decided by the records, for all replicas. So nothing that was set aside
    outlives a gateway.
    """

    def __init__(self, database: "Database") -> None:
        self._database: Final = database
        self._under_way: Final[Counter[str]] = Counter()

    @asynccontextmanager
    async def setting_aside(
        self, project_id: str, more: int, limit: int | None
    ) -> AsyncIterator[Room]:
        """Hold room for `more` bytes until the block ends; a `limit` of None: there is always room.

        Raises QuotaExceeded, or Overloaded where uploads under way may need what is left.
        """
        if limit is None:
            yield _unlimited
            return
        stored = await self._database.run(partial(_stored, project_id), read_only=True)
        _check(stored, more, limit)
        if stored + self._under_way[project_id] + more > limit:
            raise Overloaded(
                f"What is left of the {limit} bytes that the project may store is set aside for "
                "uploads under way. Try again in 1 s.",
                param="file",
                code="rate_limit_exceeded",
                retry_after_s=1,
            )
        self._under_way[project_id] += more
        try:
            yield partial(_take, project_id, more, limit)
        finally:
            self._under_way[project_id] -= more
            if not self._under_way[project_id]:
                del self._under_way[project_id]


def _unlimited(_session: "Session") -> None:
    """There is room."""


def _take(project_id: str, more: int, limit: int, session: "Session") -> None:
    own = select(Project.id).where(Project.id == project_id)
    session.execute(own.with_for_update(key_share=True))  # others of this project wait here
    _check(_stored(project_id, session), more, limit)


def _check(stored: int, more: int, limit: int) -> None:
    if stored + more > limit:
        raise QuotaExceeded(
            f"The project stores {stored} bytes in files; with these {more} it would be more "
            f"than the {limit} allowed. Delete files, or have the limit raised.",
            param="file",
            code="insufficient_quota",
        )


def _stored(project_id: str, session: "Session") -> int:
    total = select(func.coalesce(func.sum(StoredFile.bytes), 0))
    return int(session.scalar(total.where(StoredFile.project_id == project_id)) or 0)
