"""The Evaluator's Serve shell: an actor beside the answer path."""

import asyncio
import contextlib
import time
from collections.abc import Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cluster.settings import Settings
from cluster.tenancy import acting_in
from deployments.lifetime import lifetime
from deployments.ports import GRADE_TIMEOUT_S

if TYPE_CHECKING:
    from ray.serve import Application

    from deployments.evaluator.evaluator import EvaluatorCounts
    from deployments.evaluator.messages import GradedAnswer, MadeReport

__all__ = ["EvaluatorReplica", "build_evaluator"]

_STUCK_S: Final = 300.0


class EvaluatorReplica:
    """The replica: scores live answers, and works on the runs of evals."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, settings: Settings, embedder: Any, encoder: str
    ) -> None:
        from cluster.database import Database
        from deployments.evaluation.runs.ledger import RunLedger
        from deployments.evaluation.runs.policy import Limits
        from deployments.evaluation.runs.worker import RunWorker
        from deployments.evaluator.evaluator import Evaluator
        from deployments.evaluator.tools import make_routes, make_toolbox, make_verdicts
        from deployments.handles import EmbedderHandle

        chosen = settings.evaluation
        self._database = Database(settings.database_url, pool_size=4)
        handle = EmbedderHandle(embedder)
        self._evaluator = Evaluator(self._database, handle, chosen.max_queued)
        self._routes = routes = make_routes(settings, self._database)
        verdicts = make_verdicts(settings, self._database)
        self._toolbox = make_toolbox(settings, routes, verdicts, handle, Path(encoder))
        self._worker = RunWorker(
            RunLedger(self._database, chosen.lease_s, chosen.max_attempts),
            routes,
            self._toolbox,
            Limits(chosen.run_concurrency, chosen.batch_items),
            lease_s=chosen.lease_s,
            verdicts=verdicts,
        )
        self._task = asyncio.get_running_loop().create_task(self._worker.run())
        await self._evaluator.catch_up()

    async def submit(self, trace_id: str) -> bool:
        """See `deployments.ports.AnswerScorer`."""
        return self._evaluator.submit(trace_id)

    async def wake(self) -> None:
        """See `deployments.ports.AnswerScorer`."""
        self._worker.wake()

    async def grade(
        self, grader: Mapping[str, Any], item: Mapping[str, Any], answer: str, project_id: str
    ) -> "GradedAnswer":
        """See `deployments.ports.AnswerScorer`; for the project that acts where it was asked."""
        from cluster.tenancy import acting_in
        from deployments.evaluator.grading import grade_answer

        with acting_in(project_id):
            return await grade_answer(grader, item, answer, self._toolbox)

    async def report(self, run_id: str, project_id: str) -> "MadeReport":
        """See `deployments.ports.AnswerScorer`."""
        from deployments.evaluator.reports import report_run

        with acting_in(project_id):
            return await report_run(self._database, run_id)

    async def compare(
        self, baseline: str, candidate: str, settings: Mapping[str, Any], project_id: str
    ) -> "MadeReport":
        """See `deployments.ports.AnswerScorer`."""
        from deployments.evaluator.reports import compare_stored

        with acting_in(project_id):
            return await compare_stored(self._database, baseline, candidate, settings)

    async def counts(self) -> "EvaluatorCounts":
        """Count what became of what was submitted."""
        return self._evaluator.counts

    async def check_health(self) -> None:
        """Raise when the loop over runs ended or is stuck, so that Serve replaces the replica."""
        if self._task.done():
            raise RuntimeError("The Evaluator's loop ended.") from self._task.exception()
        if time.monotonic() - self._worker.last_turn > _STUCK_S:
            raise RuntimeError(f"The Evaluator's loop has been stuck for {_STUCK_S:g} s.")

    async def __del__(self) -> None:
        """Stop the loop and give its items back; other replicas, or the next one, go on."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        await self._routes.close()


def build_evaluator(settings: Settings, embedder: "Application", encoder: Path) -> "Application":
    """Bind the Evaluator. What waits to be scored is in memory, its work in the records.

    `encoder`: the embedding model's folder, which BERTScore reads.
    """
    from ray import serve

    return serve.deployment(
        EvaluatorReplica,
        name="Evaluator",
        num_replicas=settings.evaluation.replicas,
        max_ongoing_requests=64,
        max_queued_requests=256,
        ray_actor_options={"num_cpus": settings.evaluation.cpus_per_replica},
        **lifetime(GRADE_TIMEOUT_S),
    ).bind(settings, embedder, str(encoder))
