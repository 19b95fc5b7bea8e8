"""The Trainer's Serve shell.

One replica; another beside it for a moment does no harm: rows are claimed one by one.
"""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any, Final

from cluster.settings import Settings
from deployments.lifetime import lifetime
from deployments.ports import NOTICE_TIMEOUT_S

if TYPE_CHECKING:
    from ray.serve import Application

    from deployments.model.messages import ModelLoad

__all__ = ["TrainerReplica", "build_trainer_deployment"]

_STUCK_S: Final = 120.0


class TrainerReplica:
    """Runs the loop, and is replaced when it ends or is stuck."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, settings: Settings, models: Mapping[str, Any]
    ) -> None:
        from cluster.database import Database
        from deployments.handles import ModelHandle
        from deployments.trainer.reports import LoadReports
        from deployments.trainer.submissions import RayJobs
        from deployments.trainer.trainer import Trainer
        from training.queue.ledger import Queue

        self._models = {name: ModelHandle(handle, name) for name, handle in models.items()}
        self._reports = LoadReports()
        self._last: dict[str, ModelLoad | None] = dict.fromkeys(self._models)
        database = Database(settings.database_url, settings.database.pool_size)
        self._trainer: Trainer = Trainer(
            Queue(database), RayJobs(settings.runs_folder), self._loads, settings.training
        )
        self._task = asyncio.get_running_loop().create_task(self._trainer.run())

    async def wake(self) -> None:
        """Look for work now; see TrainingQueue."""
        self._trainer.wake()

    async def note_load(self, gateway: str, calls: Mapping[str, int]) -> None:
        """Take note of the calls that a gateway holds; see TrainingQueue."""
        self._reports.note(gateway, calls, time.monotonic())

    async def check_health(self) -> None:
        """Raise when the loop ended or is stuck, so that Serve replaces the replica."""
        if self._task.done():
            raise RuntimeError("The Trainer's loop ended.") from self._task.exception()
        if time.monotonic() - self._trainer.last_turn > _STUCK_S:
            raise RuntimeError(f"The Trainer's loop has been stuck for {_STUCK_S:g} s.")

    async def _loads(self) -> Mapping[str, "ModelLoad | None"]:
        """The models' loads; None of one that has never answered.

        A model that is too busy to answer has the capacity that it last told.
        """
        from cluster.errors import EverloopError

        for name, model in self._models.items():
            with contextlib.suppress(EverloopError):
                self._last[name] = await model.load()
        at = time.monotonic()
        return {
            name: None if load is None else replace(load, asked=self._reports.asked(name, at))
            for name, load in self._last.items()
        }

    async def __del__(self) -> None:
        """Stop the loop; what runs goes on, and is found again by its lease."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


def build_trainer_deployment(
    settings: Settings, models: Mapping[str, "Application"]
) -> "Application":
    """Bind the Trainer over the models whose load it watches."""
    from ray import serve

    return serve.deployment(
        TrainerReplica,
        name="Trainer",
        num_replicas=1,
        max_ongoing_requests=64,
        max_queued_requests=256,
        ray_actor_options={"num_cpus": settings.training.cpus_per_replica},
        **lifetime(NOTICE_TIMEOUT_S),
    ).bind(settings, dict(models))
