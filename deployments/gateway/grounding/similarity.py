"""Meaning, where words differ: cosines through the Embedder, bounded per answer."""

import asyncio
import logging
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final

from deployments.errors import RequestError
from deployments.ports import TextEmbedder

__all__ = ["SimilarityBudget", "WordSimilarity", "cosine"]

_log = logging.getLogger(__name__)
_SAME_MEANING: Final = 0.70
"""Cosine of two single words from which they count as saying the same.

With MiniLM: buy, purchase 0.87; delete, remove 0.76; but cat, dog 0.66; silver, gold 0.68."""
_MAX_WORDS: Final = 8
"""Words without a counterpart per sentence; with more it says something else."""
_MAX_SPARE: Final = 24


@dataclass(frozen=True, slots=True)
class SimilarityBudget:
    """What the embedder may be asked for one answer."""

    texts: int = 192
    """Sentences and single words, counted alike."""
    timeout_s: float = 2.0
    """Longest wait for one call."""


class WordSimilarity:
    """Cosines of sentences and of words; every text is embedded once."""

    def __init__(self, embedder: TextEmbedder, budget: SimilarityBudget) -> None:
        self._embedder: Final = embedder
        self._timeout_s: Final = budget.timeout_s
        self._left = budget.texts
        self._vectors: dict[str, list[float]] = {}
        self._lock: Final = asyncio.Lock()

    async def sentences(self, claim: str, windows: Sequence[str]) -> list[float]:
        """Cosine of `claim` with each window; empty where the embedder does not answer."""
        if not await self._embed([claim, *windows]):
            return []
        return [cosine(self._vectors[claim], self._vectors[window]) for window in windows]

    async def same_meaning(self, words: Sequence[str], others: Sequence[str]) -> list[float]:
        """For each word the cosine of its nearest among `others`; 0 where none means the same.

        Empty where there are too many words to say, or the embedder does not answer.
        """
        if not words or len(words) > _MAX_WORDS:
            return []
        others = others[:_MAX_SPARE]
        if not others:
            return [0.0] * len(words)
        if not await self._embed([*words, *others]):
            return []
        nearest = [
            max(cosine(self._vectors[word], self._vectors[other]) for other in others)
            for word in words
        ]
        return [value if value >= _SAME_MEANING else 0.0 for value in nearest]

    async def _embed(self, texts: Sequence[str]) -> bool:
        async with self._lock:  # one call at a time: the second finds the first one's vectors
            wanted = [text for text in dict.fromkeys(texts) if text not in self._vectors]
            if not wanted:
                return True
            if len(wanted) > self._left:
                return False
            self._left -= len(wanted)
            try:
                async with asyncio.timeout(self._timeout_s):
                    embedded = await self._embedder.embed(wanted)
            except (TimeoutError, RequestError) as error:
                _log.warning("Attribution goes on without similarity: %s", error or "time-out")
                self._left = 0
                return False
            self._vectors.update(zip(wanted, embedded.vectors, strict=True))
            return True


def cosine(left: Sequence[float], right: Sequence[float]) -> float:
    """Of two unit vectors."""
    return sum(a * b for a, b in zip(left, right, strict=True))
