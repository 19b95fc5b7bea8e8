"""The whole application in one place: read it, and you read the picture in `docs/design.md`.

The only file that binds. `build_app(settings)` is what `everloop up` deploys, and what a Serve
config names as its import path.
"""

from pathlib import Path
from typing import TYPE_CHECKING

from cluster.models import ensure_model
from cluster.settings import Settings

if TYPE_CHECKING:
    from ray.serve import Application

__all__ = ["build_app"]


def build_app(settings: Settings) -> "Application":
    """Compose the Gateway over all other deployments.

    Model folders are resolved here, once; what is missing is fetched. Raises ModelSourceError.
    """
    from deployments.embedder.deployment import build_embedder
    from deployments.evaluator.deployment import build_evaluator
    from deployments.gateway.deployment import build_gateway
    from deployments.ingestor.deployment import build_ingestor
    from deployments.model.deployment import AdapterPlace, build_model_deployment
    from deployments.monitor.deployment import build_monitor
    from deployments.retriever.deployment import build_retriever
    from deployments.trainer.deployment import build_trainer_deployment

    def folder(source: str, *, code: bool = False) -> Path:
        return ensure_model(source, settings.cache_dir, code=code)

    embedding_path = folder(settings.embedding.source)
    model_paths = {
        model.id: folder(model.source, code=model.remote_code is not None)
        for model in settings.models
    }
    reranker = settings.retrieval.reranker
    reranker_path = None if reranker == "late-interaction" else folder(reranker)

    embedder = build_embedder(settings.embedding, embedding_path, settings.data_dir / "embedder")
    retriever = build_retriever(
        settings.retrieval,
        settings.embedding,
        settings.milvus,
        settings.milvus_uri,
        settings.database_url,
        reranker_path,
        embedder,
    )
    ingestor = build_ingestor(settings, embedding_path, embedder)
    evaluator = build_evaluator(settings, embedder, embedding_path)
    adapters = AdapterPlace(
        settings.storage_url, settings.storage.options, settings.data_dir / "adapters"
    )
    models = {
        model.id: build_model_deployment(
            model, model_paths[model.id], adapters, settings.http.request_timeout_s
        )
        for model in settings.models
    }
    trainer = build_trainer_deployment(settings, models)
    return build_gateway(
        settings,
        model_paths=model_paths,
        embedder=embedder,
        retriever=retriever,
        ingestor=ingestor,
        evaluator=evaluator,
        trainer=trainer,
        monitor=build_monitor(settings, embedder, evaluator, trainer, ingestor, models),
        models=models,
    )
