"""Which experiments run, as a gateway replica knows it: read four times a second at most."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from cluster.errors import DatabaseError
from cluster.records import Experiment
from cluster.tenancy import acting_project
from deployments.experiments.arms import Split

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

    from cluster.database import Database

__all__ = ["DESK_TTL_S", "ExperimentDesk"]

_log = logging.getLogger(__name__)
DESK_TTL_S: Final = 0.25
"""So long a gateway replica may still assign by what an experiment was before."""
_PATIENCE_S: Final = 0.25


class ExperimentDesk:
    """Running experiments by alias. While the records do not answer, what was known last counts."""

    def __init__(self, database: "Database", clock: Callable[[], float] = time.monotonic) -> None:
        self._database: Final = database
        self._clock: Final = clock
        self._splits: dict[str, Split] = {}
        self._read_at = -DESK_TTL_S
        self._reading: asyncio.Task[None] | None = None

    async def running(self, alias: str) -> Split | None:
        """The experiment on this alias's traffic, if one runs.

        Waits a quarter of a second at most, and only where what is known has aged.
        """
        if self._clock() - self._read_at >= DESK_TTL_S:
            if self._reading is None:
                self._reading = asyncio.create_task(self._read())
            await asyncio.wait({self._reading}, timeout=_PATIENCE_S)
        return self._splits.get(alias)

    def forget(self) -> None:
        """Read anew for the next request."""
        self._read_at = -DESK_TTL_S

    async def _read(self) -> None:
        asked = self._clock()
        try:
            self._splits = await self._database.run(_running, read_only=True)
        except DatabaseError as error:
            _log.warning("Experiments are assigned by what was known: %s", error)
        finally:
            self._read_at = asked
            self._reading = None


def _running(session: "Session") -> dict[str, Split]:
    rows = session.scalars(
        select(Experiment).where(
            Experiment.project_id == acting_project(), Experiment.status == "running"
        )
    )
    return {row.alias: Split.of(row) for row in rows}
