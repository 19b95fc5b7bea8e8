"""The Embedder as evaluations ask it: behind the questions of users."""

from collections.abc import Sequence
from typing import Final

from deployments.ports import TextEmbedder

__all__ = ["BulkVectors"]


class BulkVectors:
    """A TextEmbedder as `deployments.evaluation.toolbox.TextVectors`."""

    def __init__(self, embedder: TextEmbedder) -> None:
        self._embedder: Final = embedder

    async def vectors(self, texts: Sequence[str]) -> list[list[float]]:
        """Unit-length vectors, one per text. Raises RequestError."""
        return (await self._embedder.embed(texts, priority="bulk")).vectors
