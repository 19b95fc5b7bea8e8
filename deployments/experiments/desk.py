"""Which experiments run, as a gateway replica knows it: read four times a second at most."""

import asyncio
import logging
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from cluster.errors import DatabaseError
from cluster.records import Experiment
from cluster.tenancy import acting_in, acting_project
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
    """Running experiments by project and alias, all read at once.

    While the records do not answer, what was known last counts.
    """

    def __init__(self, database: "Database", clock: Callable[[], float] = time.monotonic) -> None:
        self._database: Final = database
        self._clock: Final = clock
        self._splits: dict[tuple[str, str], Split] = {}
        self._read_at = -DESK_TTL_S
        self._reading: asyncio.Task[None] | None = None

    async def running(self, alias: str) -> Split | None:
        """The experiment on the traffic of this alias of the acting project, if one runs.

        Waits a quarter of a second at most, and only where what is known has aged.
        """
        if self._clock() - self._read_at >= DESK_TTL_S:
            if self._reading is None:
                self._reading = asyncio.create_task(self._read())
            await asyncio.wait({self._reading}, timeout=_PATIENCE_S)
        return self._splits.get((acting_project(), alias))

    def forget(self) -> None:
        """Read anew for the next request."""
        self._read_at = -DESK_TTL_S

    async def _read(self) -> None:
        asked = self._clock()
        try:
            with acting_in(None):
                self._splits = await self._database.run(_running, read_only=True)
        except DatabaseError as error:
            _log.warning("Experiments are assigned by what was known: %s", error)
        finally:
            self._read_at = asked
            self._reading = None


def _running(session: "Session") -> dict[tuple[str, str], Split]:
    rows = session.scalars(select(Experiment).where(Experiment.status == "running"))
    return {(row.project_id, row.alias): Split.of(row) for row in rows}
