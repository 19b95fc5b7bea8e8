"""The Embedder: texts to vectors for everybody, queries ahead of bulk work."""

import asyncio
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from functools import partial
from typing import TYPE_CHECKING, Final, Literal, Protocol

from deployments.embedder.batching import Batcher
from deployments.embedder.journal import Journal
from deployments.embedder.suspects import Passes
from deployments.errors import InvalidRequest
from deployments.ports import EmbeddedTexts

if TYPE_CHECKING:
    from ingestion.embedding import Encoded, Vectors, Window

__all__ = ["Embedder", "WindowModel"]

_QUERY_TEXTS: Final = 8
_QUERY_TOKENS: Final = 512
_URGENT, _PATIENT = 0, 1


class WindowModel(Protocol):
    """What the Embedder needs of `ingestion.embedding.EmbeddingModel`."""

    dimension: int
    workers: int

    def windows(self, texts: Sequence[str]) -> "list[list[Window]]":
        """Each text as windows that fit the model."""
        ...

    def decode(self, tokens: Sequence[Sequence[int]]) -> list[str]:
        """Return the texts of token lists; ValueError for unknown ids."""
        ...

    def forward(
        self,
        windows: "Sequence[Window]",
        *,
        token_vectors: bool = False,
    ) -> "list[Encoded]":
        """One forward pass."""
        ...


@dataclass(frozen=True, slots=True)
class _Item:
    """A window, and the query that its tokens are compared with, if any."""

    window: "Window"
    query: "Vectors | None" = None


class Embedder:
    """Two lanes over one model.

    Short queries have a lane and a thread of their own: they never wait behind a bulk batch.
    Everything else shares a lane of as many threads as the model has workers, where reranking and
    long queries overtake bulk work.

    Texts that the process died of before, as `journal` has it, run alone or no more: see `Passes`.
    """

    def __init__(
        self,
        model: WindowModel,
        *,
        batch_tokens: int,
        max_queued_texts: int,
        journal: Journal | None = None,
    ) -> None:
        self._model = model
        self._passes = Passes(journal)
        self._tokenizing = ThreadPoolExecutor(2, thread_name_prefix="tokenize")
        self._quick: Batcher[_Item, Vectors] = Batcher(
            self._run,
            size=lambda item: len(item.window),
            batch_size=_QUERY_TOKENS,
            max_queued=max_queued_texts,
            name="embed-query",
        )
        self._wide: Batcher[_Item, Vectors] = Batcher(
            self._run,
            size=lambda item: len(item.window),
            batch_size=batch_tokens,
            max_queued=max_queued_texts,
            name="embed-bulk",
            workers=model.workers,
        )

    @property
    def queued(self) -> int:
        """Windows that wait, in both lanes."""
        return self._quick.queued + self._wide.queued

    async def embed(
        self, texts: Sequence[str], *, priority: Literal["query", "bulk"] = "query"
    ) -> EmbeddedTexts:
        """Return unit vectors and token counts. Raises Overloaded when too many texts wait.

        Raises Unprocessable for a text that the model fails at, or its process died of.
        """
        from ingestion.embedding import joined

        split = await self._windows(texts)
        items = [_Item(window) for windows in split for window in windows]
        if priority == "query" and _is_short(items):
            vectors = await self._quick.submit(items)
        else:
            rank = _URGENT if priority == "query" else _PATIENT
            vectors = await self._wide.submit(items, priority=rank)
        embedded, position = [], 0
        for windows in split:
            part = vectors[position : position + len(windows)]
            embedded.append(joined(part, windows).tolist())
            position += len(windows)
        return EmbeddedTexts(embedded, [sum(w.tokens for w in windows) for windows in split])

    async def late_interaction(self, query: str, documents: Sequence[str]) -> list[float]:
        """Say how well each document covers the query, 0 to 1 (ColBERT's MaxSim, averaged)."""
        import numpy as np

        split = await self._windows([query, *documents])
        asked = await asyncio.get_running_loop().run_in_executor(
            self._tokenizing, self._forward, split[0], True
        )
        tokens = np.concatenate([encoded.token_vectors for encoded in asked])
        items = [_Item(window, tokens) for windows in split[1:] for window in windows]
        best = await self._wide.submit(items, priority=_URGENT)
        scores, position = [], 0
        for windows in split[1:]:
            part = np.stack(best[position : position + len(windows)])
            scores.append(min(1.0, max(0.0, float(part.max(axis=0).mean()))))
            position += len(windows)
        return scores

    async def decode(self, tokens: Sequence[Sequence[int]]) -> list[str]:
        """Return the texts of token lists. Raises InvalidRequest for unknown ids."""
        try:
            return self._model.decode(tokens)
        except ValueError as error:
            raise InvalidRequest(f"input: {error}.", param="input") from error

    def close(self) -> None:
        """Finish what runs."""
        self._quick.close()
        self._wide.close()
        self._tokenizing.shutdown()

    async def _windows(self, texts: Sequence[str]) -> "list[list[Window]]":
        return await asyncio.get_running_loop().run_in_executor(
            self._tokenizing, self._model.windows, list(texts)
        )

    def _forward(self, windows: "Sequence[Window]", token_vectors: bool) -> "list[Encoded]":
        forward = partial(self._model.forward, token_vectors=token_vectors)
        return self._passes.run(windows, forward)

    def _run(self, items: Sequence[_Item]) -> "list[Vectors]":
        from ingestion.embedding import max_similarities

        asked = any(item.query is not None for item in items)
        encoded = self._forward([item.window for item in items], asked)
        return [
            one.vector if item.query is None else max_similarities(item.query, one.token_vectors)
            for item, one in zip(items, encoded, strict=True)
        ]


def _is_short(items: Sequence[_Item]) -> bool:
    return len(items) <= _QUERY_TEXTS and sum(len(i.window) for i in items) <= _QUERY_TOKENS
