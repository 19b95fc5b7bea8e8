"""The Embedder, as far as documents go."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from ingestion.outages import Patience

__all__ = ["BulkEmbedder", "EmbeddedTexts", "PatientEmbedder"]


class EmbeddedTexts(Protocol):
    """What a BulkEmbedder answers."""

    @property
    def vectors(self) -> list[list[float]]:
        """Unit-length vectors, one per text."""
        ...


class BulkEmbedder(Protocol):
    """The Embedder, as far as documents go."""

    async def embed(
        self, texts: Sequence[str], *, priority: Literal["query", "bulk"] = "query"
    ) -> EmbeddedTexts:
        """Embed `texts`."""
        ...


@dataclass(frozen=True, slots=True)
class PatientEmbedder:
    """Waits for an Embedder that is down."""

    embedder: BulkEmbedder
    patience: Patience

    async def embed(
        self, texts: Sequence[str], *, priority: Literal["query", "bulk"] = "query"
    ) -> EmbeddedTexts:
        """Embed `texts`. Raises StillDownError where the Embedder stays away."""
        return await self.patience.call(
            f"Embedding {len(texts)} texts", lambda: self.embedder.embed(texts, priority=priority)
        )
