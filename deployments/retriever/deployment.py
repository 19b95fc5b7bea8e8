"""The Retriever's Serve shell."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any

from cluster.settings import EmbeddingSettings, MilvusSettings, RetrievalSettings
from deployments.lifetime import lifetime
from deployments.retriever.messages import SearchRequest, SearchResult

if TYPE_CHECKING:
    from ray.serve import Application

    from deployments.retriever.reranking import Reranker

__all__ = ["RetrieverReplica", "build_retriever"]


class RetrieverReplica:
    """One replica: connects the records, the index and the embedder."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self,
        settings: RetrievalSettings,
        embedding: EmbeddingSettings,
        milvus: MilvusSettings,
        milvus_uri: str,
        database_url: str,
        reranker_path: str | None,
        embedder: Any,
    ) -> None:
        from cluster.database import Database
        from deployments.handles import EmbedderHandle
        from deployments.retriever.reranking import CrossEncoderReranker, LateInteractionReranker
        from deployments.retriever.retriever import Retriever
        from ingestion.index import PassageIndex, collection_name

        client = EmbedderHandle(embedder)
        dimension = await client.dimension()
        index = PassageIndex(
            milvus_uri,
            collection_name(embedding.id, dimension),
            dimension,
            token=milvus.token,
            timeout_s=milvus.timeout_s,
        )
        reranker: Reranker = (
            CrossEncoderReranker(Path(reranker_path))
            if reranker_path
            else LateInteractionReranker(client.late_interaction)
        )
        self._retriever = Retriever(
            settings,
            index=index,
            embedder=client,
            database=Database(database_url),
            reranker=reranker,
        )

    async def search(self, request: SearchRequest) -> SearchResult:
        """See `deployments.ports.PassageSearch`."""
        return await self._retriever.search(request)

    async def rerank(self, query: str, documents: Sequence[str]) -> list[float]:
        """See `deployments.ports.PassageSearch`."""
        return await self._retriever.rerank(query, documents)

    async def contents(self, project_id: str, store_id: str, number: int) -> list[str]:
        """See `deployments.ports.PassageSearch`."""
        return await self._retriever.contents(project_id, store_id, number)

    async def check(self) -> None:
        """See `deployments.ports.PassageSearch`."""
        await self._retriever.check()


def build_retriever(
    settings: RetrievalSettings,
    embedding: EmbeddingSettings,
    milvus: MilvusSettings,
    milvus_uri: str,
    database_url: str,
    reranker_path: Path | None,
    embedder: "Application",
) -> "Application":
    """Bind the Retriever. `reranker_path`: a cross-encoder's folder, or None."""
    from ray import serve

    return serve.deployment(
        RetrieverReplica,
        name="Retriever",
        num_replicas=settings.replicas,
        max_ongoing_requests=64,
        max_queued_requests=256,
        ray_actor_options={"num_cpus": settings.cpus_per_replica},
        **lifetime(settings.timeout_s, surge=True),
    ).bind(
        settings,
        embedding,
        milvus,
        milvus_uri,
        database_url,
        str(reranker_path) if reranker_path else None,
        embedder,
    )
