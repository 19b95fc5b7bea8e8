"""The Embedder's Serve shell."""

import logging
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Literal

from cluster.settings import EmbeddingSettings
from deployments.lifetime import lifetime
from deployments.ports import EMBED_TIMEOUT_S, EmbeddedTexts

if TYPE_CHECKING:
    from ray.serve import Application

    from deployments.embedder.journal import Journal

__all__ = ["EmbedderReplica", "build_embedder"]

_log = logging.getLogger(__name__)


class EmbedderReplica:
    """One replica: loads the model and hands every call to `Embedder`."""

    def __init__(self, settings: EmbeddingSettings, path: str, journal: str) -> None:
        from deployments.embedder.embedder import Embedder
        from ingestion.embedding import EmbeddingModel

        self._model = EmbeddingModel(Path(path), device=settings.device, threads=settings.threads)
        self._embedder = Embedder(
            self._model,
            batch_tokens=settings.batch_tokens,
            max_queued_texts=settings.max_queued_texts,
            journal=_opened(Path(journal)),
        )
        self._model.encode(["warm up"])

    async def embed(
        self, texts: Sequence[str], priority: Literal["query", "bulk"] = "query"
    ) -> EmbeddedTexts:
        """See `deployments.ports.TextEmbedder`."""
        return await self._embedder.embed(texts, priority=priority)

    async def late_interaction(self, query: str, documents: Sequence[str]) -> list[float]:
        """See `Embedder.late_interaction`."""
        return await self._embedder.late_interaction(query, documents)

    async def decode(self, tokens: Sequence[Sequence[int]]) -> list[str]:
        """See `deployments.ports.TextEmbedder`."""
        return await self._embedder.decode(tokens)

    async def dimension(self) -> int:
        """Length of the vectors."""
        return self._model.dimension


def _opened(folder: Path) -> "Journal | None":
    """The journal of this process; None where it cannot be written, which is no reason to stop."""
    from deployments.embedder.journal import Journal

    try:
        return Journal(folder)
    except OSError as error:
        _log.warning("A text that kills the Embedder will not be found: %s", error)
        return None


def build_embedder(settings: EmbeddingSettings, path: Path, journal: Path) -> "Application":
    """Bind the Embedder over the sentence-transformers folder `path`.

    `journal`: a folder of the machine it runs on; see `deployments.embedder.journal`.
    """
    from ray import serve

    options: dict[str, float] = {"num_cpus": settings.cpus_per_replica}
    if settings.device == "gpu":
        options["num_gpus"] = 1
    return serve.deployment(
        EmbedderReplica,
        name="Embedder",
        num_replicas=settings.replicas,
        max_ongoing_requests=512,
        max_queued_requests=1024,
        ray_actor_options=options,
        **lifetime(EMBED_TIMEOUT_S, surge=True),
    ).bind(settings, str(path), str(journal))
