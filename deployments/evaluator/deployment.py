"""The Evaluator's Serve shell: one actor beside the answer path."""

from typing import TYPE_CHECKING, Any

from cluster.settings import EvaluationSettings, Settings

if TYPE_CHECKING:
    from ray.serve import Application

    from deployments.evaluator.evaluator import EvaluatorCounts

__all__ = ["EvaluatorReplica", "build_evaluator"]


class EvaluatorReplica:
    """The replica: connects the records and the embedder."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, settings: EvaluationSettings, database_url: str, embedder: Any
    ) -> None:
        from cluster.database import Database
        from deployments.evaluator.evaluator import Evaluator
        from deployments.handles import EmbedderHandle

        self._evaluator = Evaluator(
            Database(database_url, pool_size=1), EmbedderHandle(embedder), settings.max_queued
        )
        await self._evaluator.catch_up()

    async def submit(self, trace_id: str) -> bool:
        """See `deployments.ports.AnswerScorer`."""
        return self._evaluator.submit(trace_id)

    async def counts(self) -> "EvaluatorCounts":
        """Count what became of what was submitted."""
        return self._evaluator.counts


def build_evaluator(settings: Settings, embedder: "Application") -> "Application":
    """Bind the Evaluator. One replica: its queue is in memory, its work in the records."""
    from ray import serve

    return serve.deployment(
        EvaluatorReplica,
        name="Evaluator",
        num_replicas=1,
        max_ongoing_requests=64,
        max_queued_requests=256,
        ray_actor_options={"num_cpus": settings.evaluation.cpus_per_replica},
    ).bind(settings.evaluation, settings.database_url, embedder)
