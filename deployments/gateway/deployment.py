"""The Gateway's Serve shell: the HTTP ingress of the application."""

from collections.abc import Mapping
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.settings import Settings
from deployments.lifetime import lifetime

if TYPE_CHECKING:
    from ray.serve import Application
    from starlette.types import ASGIApp

__all__ = ["GatewayReplica", "build_gateway"]


class GatewayReplica:
    """One replica: builds `Services` over the handles, and the ASGI application over them."""

    def __init__(
        self,
        settings: Settings,
        model_paths: dict[str, str],
        embedder: Any,
        retriever: Any,
        ingestor: Any,
        evaluator: Any,
        trainer: Any,
        monitor: Any,
        models: dict[str, Any],
    ) -> None:
        from cluster.backup.deletions import note_deletion
        from cluster.database import Database
        from cluster.storage import ByteStore
        from deployments.gateway.grounding.answer_request import ChatProfile
        from deployments.gateway.grounding.answerer import GroundedAnswerer
        from deployments.gateway.grounding.earlier import EarlierAnswers
        from deployments.gateway.grounding.tokens import TokenCounter
        from deployments.gateway.queued_model import QueuedModel, queue_of, replica_tokens
        from deployments.gateway.readiness import deployment_checks
        from deployments.gateway.services import Services
        from deployments.handles import (
            EmbedderHandle,
            EvaluatorHandle,
            IngestorHandle,
            ModelHandle,
            RetrieverHandle,
            TrainerHandle,
        )
        from deployments.limits.kept_answers import KeptAnswers
        from deployments.prompts import PromptLibrary
        from deployments.prompts.book import PromptBook
        from deployments.tracing.writer import TraceWriter

        retry = settings.http.retry_after_s
        database = Database(settings.database_url, settings.database.pool_size)
        search = RetrieverHandle(
            retriever, retry_after_s=retry, timeout_s=settings.retrieval.timeout_s
        )
        embedding = EmbedderHandle(embedder, retry_after_s=retry)
        scorer = EvaluatorHandle(evaluator, retry_after_s=retry)
        checks = deployment_checks([embedder, retriever, ingestor, *models.values()])
        chat = {
            name: ModelHandle(
                handle,
                name,
                retry_after_s=retry,
                check=checks[handle.deployment_name],
                replica_wait_s=settings.http.replica_wait_s,
                silence_s=settings.http.replica_silence_s,
            )
            for name, handle in models.items()
        }
        counters = {name: TokenCounter(Path(path)) for name, path in model_paths.items()}
        queued = {
            model.id: QueuedModel(
                chat[model.id],
                queue_of(model, settings.limits, settings.http.replicas),
                model_id=model.id,
                counter=counters[model.id],
                answer_tokens=settings.grounding.answer_tokens,
                context_tokens=model.max_context_tokens,
                replica_tokens=replica_tokens(model),
                gateways=settings.http.replicas,
            )
            for model in settings.models
        }
        limits = settings.limits
        kept = KeptAnswers(limits.cached_answers, limits.cached_answer_s)
        profiles = {
            model.id: ChatProfile(
                model=queued[model.id],
                counter=counters[model.id],
                context_tokens=model.max_context_tokens,
            )
            for model in settings.models
        }
        self._services = Services(
            settings=settings,
            database=database,
            storage=ByteStore(settings.storage_url, settings.storage.options),
            models=queued,
            embedder=embedding,
            retriever=search,
            ingestor=IngestorHandle(ingestor, retry_after_s=retry),
            evaluator=scorer,
            traces=TraceWriter.of(database, settings.tracing),
            answerer=GroundedAnswerer(
                retriever=search,
                profiles=profiles,
                embedder=embedding,
                prompts=PromptLibrary(),
                evaluator=scorer,
                settings=settings.grounding,
                sample_rate=settings.evaluation.sample_rate,
                earlier=EarlierAnswers(kept, database),
                fewer_passages=limits.fewer_passages,
            ),
            kept=kept,
            prompts=PromptBook(database),
            trainer=TrainerHandle(trainer, retry_after_s=retry),
            calls=lambda: {name: model.in_flight for name, model in queued.items()},
            checks={"milvus": search.check, **checks},
            note_deletion=partial(note_deletion, settings),
        )

    def __serve_build_asgi_app__(self) -> "ASGIApp":
        """Build the application; Serve calls this once the replica is constructed."""
        from deployments.gateway.app import create_app

        return create_app(self._services, behind_serve=True)


def build_gateway(
    settings: Settings,
    *,
    model_paths: Mapping[str, Path],
    embedder: "Application",
    retriever: "Application",
    ingestor: "Application",
    evaluator: "Application",
    trainer: "Application",
    monitor: "Application",
    models: Mapping[str, "Application"],
) -> "Application":
    """Bind the ingress; every other deployment hangs below it."""
    from ray import serve

    return serve.deployment(
        serve.ingress()(GatewayReplica),
        name="Gateway",
        num_replicas=settings.http.replicas,
        max_ongoing_requests=settings.http.max_ongoing_requests,
        max_queued_requests=settings.http.max_queued_requests,
        ray_actor_options={"num_cpus": settings.http.cpus_per_replica},
        **lifetime(settings.http.request_timeout_s, surge=True),
    ).bind(
        settings,
        {model: str(path) for model, path in model_paths.items()},
        embedder,
        retriever,
        ingestor,
        evaluator,
        trainer,
        monitor,
        dict(models),
    )
