"""The Monitor's Serve shell. One replica; another beside it for a moment does no harm."""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from cluster.settings import Settings
from deployments.lifetime import lifetime
from deployments.ports import NOTICE_TIMEOUT_S

if TYPE_CHECKING:
    from ray.serve import Application

__all__ = ["MonitorReplica", "build_monitor"]

_STUCK_S: Final = 900.0
"""A look at drift embeds thousands of questions beside users' own."""


class MonitorReplica:
    """Runs the duties, and is replaced when they end or one is stuck."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self,
        settings: Settings,
        embedder: Any,
        evaluator: Any,
        trainer: Any,
        ingestor: Any,
        models: Mapping[str, Any],
    ) -> None:
        from cluster.database import Database
        from cluster.storage import ByteStore
        from deployments.handles import (
            EmbedderHandle,
            EvaluatorHandle,
            IngestorHandle,
            ModelHandle,
            TrainerHandle,
        )
        from deployments.monitor.duties import make_duties
        from deployments.monitor.duty import MonitorParts
        from deployments.monitor.monitor import Monitor

        parts = MonitorParts(
            settings=settings,
            database=Database(settings.database_url, pool_size=4),
            storage=ByteStore(settings.storage_url, settings.storage.options),
            embedder=EmbedderHandle(embedder),
            evaluator=EvaluatorHandle(evaluator),
            trainer=TrainerHandle(trainer),
            ingestor=IngestorHandle(ingestor),
            models={name: ModelHandle(handle, name) for name, handle in models.items()},
        )
        self._monitor = Monitor(make_duties(parts))
        self._task = asyncio.get_running_loop().create_task(self._monitor.run())

    async def counts(self) -> dict[str, Any]:
        """How each duty goes."""
        from dataclasses import asdict

        return {name: asdict(counts) for name, counts in self._monitor.counts.items()}

    async def check_health(self) -> None:
        """Raise when the loop ended or a duty is stuck, so that Serve replaces the replica."""
        if self._task.done():
            raise RuntimeError("The Monitor's loop ended.") from self._task.exception()
        if stuck := self._monitor.stuck(time.monotonic(), _STUCK_S):
            raise RuntimeError(f"Stuck for {_STUCK_S:g} s: {', '.join(stuck)}.")

    async def __del__(self) -> None:
        """Stop; what is due is in the records."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task


def build_monitor(
    settings: Settings,
    embedder: "Application",
    evaluator: "Application",
    trainer: "Application",
    ingestor: "Application",
    models: Mapping[str, "Application"],
) -> "Application":
    """Bind the Monitor."""
    from ray import serve

    return serve.deployment(
        MonitorReplica,
        name="Monitor",
        num_replicas=1,
        max_ongoing_requests=16,
        max_queued_requests=64,
        ray_actor_options={"num_cpus": settings.monitor.cpus},
        **lifetime(NOTICE_TIMEOUT_S),
    ).bind(settings, embedder, evaluator, trainer, ingestor, dict(models))
