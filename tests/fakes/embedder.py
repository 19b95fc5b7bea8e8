"""Embedders behind the TextEmbedder port."""

import asyncio
from collections.abc import Sequence
from pathlib import Path
from typing import Any, Literal

from deployments.errors import Unavailable
from deployments.ports import EmbeddedTexts


class MiniLmEmbedder:
    """The real all-MiniLM-L6-v2 on this process's CPU, for tests that claim quality."""

    def __init__(self, folder: Path) -> None:
        from sentence_transformers import SentenceTransformer

        self._model: Any = SentenceTransformer(str(folder), device="cpu")
        self.texts = 0
        self.calls = 0

    async def embed(
        self, texts: Sequence[str], *, priority: Literal["query", "bulk"] = "query"
    ) -> EmbeddedTexts:
        self.texts += len(texts)
        self.calls += 1
        vectors = await asyncio.to_thread(
            self._model.encode, list(texts), normalize_embeddings=True
        )
        return EmbeddedTexts([vector.tolist() for vector in vectors], [1] * len(texts))

    async def decode(self, tokens: Sequence[Sequence[int]]) -> list[str]:
        raise NotImplementedError("grounding sends texts")


class BrokenEmbedder:
    """An Embedder that is down."""

    def __init__(self) -> None:
        self.calls = 0

    async def embed(
        self, texts: Sequence[str], *, priority: Literal["query", "bulk"] = "query"
    ) -> EmbeddedTexts:
        self.calls += 1
        raise Unavailable("The embedder is down.")

    async def decode(self, tokens: Sequence[Sequence[int]]) -> list[str]:
        raise NotImplementedError("grounding sends texts")
