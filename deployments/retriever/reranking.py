"""Rerankers: how relevant each document is to a query, read together with it."""

import asyncio
import threading
from collections.abc import Awaitable, Callable, Sequence
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path
from typing import Any, Final, Protocol

from cluster.errors import ModelSourceError

__all__ = ["CrossEncoderReranker", "LateInteractionReranker", "Reranker"]

_PAIRS_PER_PASS: Final = 8
_MAX_TOKENS: Final = 512

LateInteraction = Callable[[str, list[str]], Awaitable[list[float]]]
"""`deployments.embedder.embedder.Embedder.late_interaction`."""


class Reranker(Protocol):
    """Scores documents against a query."""

    async def score(self, query: str, documents: Sequence[str]) -> list[float]:
        """Relevance from 0 to 1, in the order given."""
        ...


class LateInteractionReranker:
    """The token vectors of the embedding model, compared in the Embedder: no further model."""

    def __init__(self, late_interaction: LateInteraction) -> None:
        self._late_interaction = late_interaction

    async def score(self, query: str, documents: Sequence[str]) -> list[float]:
        """Relevance from 0 to 1, in the order given."""
        return await self._late_interaction(query, list(documents)) if documents else []


class CrossEncoderReranker:
    """A sequence classification model that reads query and document together, in this process.

    Loaded at first use. One logit is read through a sigmoid; of several, the probability of the
    second one counts.
    """

    def __init__(self, path: Path, *, threads: int = 0) -> None:
        self._path = path
        self._threads = threads
        self._loading = threading.Lock()
        self._loaded: tuple[Any, Any] | None = None
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="cross-encoder")

    async def score(self, query: str, documents: Sequence[str]) -> list[float]:
        """Relevance from 0 to 1. Raises ModelSourceError where the model cannot be loaded."""
        loop = asyncio.get_running_loop()
        order = sorted(range(len(documents)), key=lambda i: len(documents[i]))
        scores = [0.0] * len(documents)
        for start in range(0, len(order), _PAIRS_PER_PASS):  # other queries get in between
            part = order[start : start + _PAIRS_PER_PASS]
            values = await loop.run_in_executor(
                self._thread, self._score, query, [documents[i] for i in part]
            )
            for i, value in zip(part, values, strict=True):
                scores[i] = value
        return scores

    def _score(self, query: str, documents: list[str]) -> list[float]:
        import torch

        tokenizer, model = self._load()
        features = tokenizer(
            [query] * len(documents),
            documents,
            truncation="longest_first",
            max_length=min(_MAX_TOKENS, tokenizer.model_max_length),
            padding=True,
            return_tensors="pt",
        )
        with torch.inference_mode():
            logits = model(**features).logits.float()
        single = logits.shape[1] == 1
        values = logits.sigmoid()[:, 0] if single else logits.softmax(dim=-1)[:, 1]
        return [float(value) for value in values]

    def _load(self) -> tuple[Any, Any]:
        with self._loading:
            if self._loaded is None:
                import os

                import torch
                from transformers import AutoModelForSequenceClassification, AutoTokenizer

                torch.set_num_threads(self._threads or os.cpu_count() or 1)
                try:
                    tokenizer = AutoTokenizer.from_pretrained(self._path, local_files_only=True)
                    model = AutoModelForSequenceClassification.from_pretrained(
                        self._path, local_files_only=True, use_safetensors=True
                    )
                except (OSError, ValueError, KeyError) as error:
                    raise ModelSourceError(
                        f"{self._path} holds no cross-encoder: {error}",
                        fix="Set `retrieval.reranker` to one, or to late-interaction.",
                    ) from error
                self._loaded = (tokenizer, model.eval())
            return self._loaded
