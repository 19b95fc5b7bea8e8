"""Samples as four arrays, so that they cross to workers without being copied one by one."""

from collections.abc import Iterator, Sequence
from hashlib import sha256
from typing import overload

from training.tokens.tokenized import Sample, Tokenized

__all__ = ["SampleTable"]


class SampleTable(Sequence[Sample]):
    """A read-only sequence of samples. Ray shares the arrays between the workers of a machine."""

    def __init__(self, samples: Sequence[Sample]) -> None:
        import numpy as np

        documents = [document for sample in samples for document in sample]
        ids = [np.asarray(document.input_ids, dtype=np.int32) for document in documents]
        loss = [np.asarray(document.loss, dtype=np.float32) for document in documents]
        self._ids = np.concatenate([np.empty(0, np.int32), *ids])
        self._loss = np.concatenate([np.empty(0, np.float32), *loss])
        self._document_ends = np.cumsum([0, *map(len, documents)])
        self._sample_ends = np.cumsum([0, *map(len, samples)])

    def __len__(self) -> int:
        return len(self._sample_ends) - 1

    @overload
    def __getitem__(self, index: int) -> Sample: ...

    @overload
    def __getitem__(self, index: slice) -> list[Sample]: ...

    def __getitem__(self, index: int | slice) -> Sample | list[Sample]:
        """The sample of that number, or those of a range."""
        if isinstance(index, slice):
            return [self[i] for i in range(*index.indices(len(self)))]
        if not -len(self) <= index < len(self):
            raise IndexError(index)
        first, end = self._sample_ends[index % len(self) :][:2]
        return tuple(self._document(number) for number in range(first, end))

    def __iter__(self) -> Iterator[Sample]:
        return (self[i] for i in range(len(self)))

    def digest(self) -> str:
        """SHA-256 of every token and weight, in order."""
        arrays = (self._ids, self._loss, self._document_ends, self._sample_ends)
        return sha256(b"".join(array.tobytes() for array in arrays)).hexdigest()

    def _document(self, number: int) -> Tokenized:
        start, end = self._document_ends[number : number + 2]
        return Tokenized(
            tuple(self._ids[start:end].tolist()), tuple(self._loss[start:end].tolist())
        )
