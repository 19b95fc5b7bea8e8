"""Likeness of texts to known attacks and to harmless texts, through the Embedder."""

import asyncio
from collections.abc import Sequence
from typing import Final

from deployments.ports import TextEmbedder

__all__ = ["Prototypes"]


class Prototypes:
    """Embeds two sets of texts once, and compares others with them."""

    def __init__(
        self, embedder: TextEmbedder, attacks: Sequence[str], harmless: Sequence[str]
    ) -> None:
        self._embedder: Final = embedder
        self._attacks: Final = tuple(attacks)
        self._harmless: Final = tuple(harmless)
        self._known: asyncio.Task[list[list[float]]] | None = None

    async def nearest(self, texts: Sequence[str]) -> list[tuple[float, float]]:
        """For each text: cosine to the nearest attack, and to the nearest harmless text.

        Raises what the Embedder does.
        """
        import numpy as np

        self.start()
        assert self._known is not None  # noqa: S101 - `start` sets it
        # Whoever asks first may run out of time; the known texts are embedded all the same.
        known = np.asarray(await asyncio.shield(self._known))
        vectors = np.asarray((await self._embedder.embed(texts)).vectors)
        cosines = vectors @ known.T
        split = len(self._attacks)
        return [
            (float(row[:split].max(initial=0.0)), float(row[split:].max(initial=0.0)))
            for row in cosines
        ]

    def start(self) -> None:
        """Have the known texts embedded, unless they are or will be."""
        task = self._known
        if task is None or (task.done() and (task.cancelled() or task.exception() is not None)):
            self._known = asyncio.get_running_loop().create_task(self._embed())
            # Whoever asks is told of a failure; where nobody does, it is no news.
            self._known.add_done_callback(lambda done: done.cancelled() or done.exception())

    async def _embed(self) -> list[list[float]]:
        known = [*self._attacks, *self._harmless]
        return (await self._embedder.embed(known, priority="bulk")).vectors
