"""Texts to vectors, with a sentence-transformers model.

text → windows of at most the model's length (tokenizer) → batches of about equal length → vectors.
A text longer than the model's window is never cut off: its windows' vectors are averaged by tokens.
"""

import os
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

import numpy as np
import numpy.typing as npt

from cluster.errors import ModelSourceError
from cluster.models import check_weights

__all__ = ["EmbeddingModel", "Vectors", "Window", "batches", "joined", "max_similarities"]

Vectors = npt.NDArray[np.float32]
_BATCH_TOKENS: Final = 2048
_TOKENS_WITHOUT_LIMIT: Final = 512


@dataclass(frozen=True, slots=True)
class Window:
    """A piece of a text that fits the model: token ids, special tokens included."""

    ids: tuple[int, ...]
    tokens: int
    """Without special tokens."""

    def __len__(self) -> int:
        return len(self.ids)


@dataclass(frozen=True, slots=True)
class Encoded:
    """What the model says of one window."""

    vector: Vectors
    """Unit length."""
    token_vectors: Vectors
    """(tokens, dimension), unit length; only where asked for, else empty."""


class EmbeddingModel:
    """A loaded model. Several threads may call it at the same time.

    On a CPU torch gets one thread per call, and `workers` calls run side by side: batches share
    nothing, whereas torch's own threads wait for one another in every layer (on two busy cores
    that made it several times slower).
    """

    def __init__(
        self, folder: Path, *, device: Literal["cpu", "gpu"] = "cpu", threads: int = 0
    ) -> None:
        """Load `folder`; `threads` 0 takes every core. Raises ModelSourceError.

        Sets torch's threads for the whole process, on a CPU.
        """
        import torch
        from sentence_transformers import SentenceTransformer

        self.workers = 1 if device == "gpu" else threads or os.cpu_count() or 1
        """Calls of `forward` that pay off at the same time."""
        if device == "cpu":
            torch.set_num_threads(1)
        check_weights(folder)
        try:
            self._model = SentenceTransformer(
                str(folder),
                device="cuda" if device == "gpu" else "cpu",
                local_files_only=True,
                trust_remote_code=False,
                model_kwargs={"use_safetensors": True},
            ).eval()
        except (OSError, ValueError, KeyError) as error:
            raise ModelSourceError(
                f"{folder} holds no sentence-transformers model: {error}",
                fix="Set `embedding.source` to one.",
            ) from error
        self._tokenizer: Any = self._model.tokenizer
        self._special = frozenset(self._tokenizer.all_special_ids)
        self.max_tokens: int = self._model.max_seq_length or _TOKENS_WITHOUT_LIMIT
        """Of one window, special tokens included."""
        self.dimension: int = int(self._model.get_embedding_dimension())

    def windows(self, texts: Sequence[str]) -> list[list[Window]]:
        """Each text as one or more windows; together they hold all of its tokens."""
        if not texts:
            return []
        split = self._tokenizer(
            list(texts),
            truncation=True,
            max_length=self.max_tokens,
            return_overflowing_tokens=True,
            return_special_tokens_mask=True,
            return_attention_mask=False,
            return_token_type_ids=False,
        )
        owners = split.get("overflow_to_sample_mapping", range(len(texts)))
        found: list[list[Window]] = [[] for _ in texts]
        for owner, ids, special in zip(
            owners, split["input_ids"], split["special_tokens_mask"], strict=True
        ):
            found[owner].append(Window(tuple(ids), len(ids) - sum(special)))
        return found

    def decode(self, tokens: Sequence[Sequence[int]]) -> list[str]:
        """Give the texts of token lists. Raises ValueError for an id outside the vocabulary."""
        size = len(self._tokenizer)
        for ids in tokens:
            for token in ids:
                if not 0 <= token < size:
                    raise ValueError(f"token {token} is not in the vocabulary of {size}")
        return [str(self._tokenizer.decode(list(ids), skip_special_tokens=True)) for ids in tokens]

    def forward(
        self,
        windows: Sequence[Window],
        *,
        token_vectors: bool = False,
    ) -> list[Encoded]:
        """Run `windows` through the model in one pass, padded to the longest."""
        import torch

        longest = max(len(window) for window in windows)
        ids = np.full((len(windows), longest), self._tokenizer.pad_token_id or 0, dtype=np.int64)
        mask = np.zeros_like(ids)
        for row, window in enumerate(windows):
            ids[row, : len(window)] = window.ids
            mask[row, : len(window)] = 1
        features = {"input_ids": torch.from_numpy(ids), "attention_mask": torch.from_numpy(mask)}
        if "token_type_ids" in self._tokenizer.model_input_names:
            features["token_type_ids"] = torch.zeros_like(features["input_ids"])
        with torch.inference_mode():
            out = self._model({name: t.to(self._model.device) for name, t in features.items()})
            sentence = torch.nn.functional.normalize(out["sentence_embedding"].float(), dim=-1)
            vectors: Vectors = sentence.cpu().numpy()
            if token_vectors:
                per_token = torch.nn.functional.normalize(out["token_embeddings"].float(), dim=-1)
                tokens: Vectors = per_token.cpu().numpy()
        nothing = np.zeros((0, self.dimension), dtype=np.float32)
        return [
            Encoded(vector, tokens[row, self._content(windows[row])] if token_vectors else nothing)
            for row, vector in enumerate(vectors)
        ]

    def encode(
        self, texts: Sequence[str], *, batch_tokens: int = _BATCH_TOKENS
    ) -> tuple[Vectors, list[int]]:
        """Return unit vectors (texts, dimension) and the tokens of each text."""
        split = self.windows(texts)
        flat = [window for windows in split for window in windows]
        vectors = np.zeros((len(flat), self.dimension), dtype=np.float32)
        packed = list(batches(flat, batch_tokens))
        with ThreadPoolExecutor(self.workers) as pool:
            runs = pool.map(lambda batch: self.forward([flat[i] for i in batch]), packed)
            for batch, encoded in zip(packed, runs, strict=True):
                vectors[batch] = [one.vector for one in encoded]
        result = np.zeros((len(split), self.dimension), dtype=np.float32)
        position = 0
        for row, windows in enumerate(split):
            result[row] = joined(vectors[position : position + len(windows)], windows)
            position += len(windows)
        return result, [sum(window.tokens for window in windows) for windows in split]

    def _content(self, window: Window) -> list[int]:
        places = [i for i, token in enumerate(window.ids) if token not in self._special]
        return places or [0]


def batches(windows: Sequence[Window], batch_tokens: int) -> Iterator[list[int]]:
    """Yield indices of `windows`, longest first, so that no padded batch exceeds `batch_tokens`.

    A window longer than that goes alone.
    """
    order = sorted(range(len(windows)), key=lambda i: -len(windows[i]))
    start = 0
    while start < len(order):
        size = max(1, batch_tokens // len(windows[order[start]]))
        yield order[start : start + size]
        start += size


def joined(vectors: Sequence[Vectors] | Vectors, windows: Sequence[Window]) -> Vectors:
    """Return the unit vector of a text from its windows' vectors, weighted by their tokens."""
    if len(windows) == 1:
        only: Vectors = vectors[0]
        return only
    weights = np.array([max(window.tokens, 1) for window in windows], dtype=np.float32)
    mean: Vectors = (np.asarray(vectors) * weights[:, None]).sum(axis=0) / weights.sum()
    length = float(np.linalg.norm(mean))
    return mean / np.float32(length) if length else mean


def max_similarities(query_tokens: Vectors, passage_tokens: Vectors) -> Vectors:
    """For each token of the query its highest cosine among the passage's tokens.

    Their mean is ColBERT's late interaction (Khattab & Zaharia, 2020), 0 to 1 for real text.
    """
    best: Vectors = (query_tokens @ passage_tokens.T).max(axis=1)
    return best
