"""Samples into rows: one row is one forward pass, and holds no padding.

A row of several documents gives each its own position ids from 0, and the lengths by which
attention is kept inside a document (`training.attention`). So the rows in which a document travels
change its loss by rounding only.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.tokens.tokenized import Sample

if TYPE_CHECKING:
    import torch

__all__ = ["Row", "pack", "row_of"]


def pack(lengths: Sequence[int], capacity: int) -> list[list[int]]:
    """Indices of `lengths` in rows of at most `capacity` tokens, by best fit, longest first.

    Depends on nothing but its arguments. A sample longer than `capacity` gets a row of its own.
    """
    rows: list[list[int]] = []
    room: list[int] = []
    for index in sorted(range(len(lengths)), key=lambda i: (-lengths[i], i)):
        length = lengths[index]
        fitting = [row for row, free in enumerate(room) if free >= length]
        if fitting:
            row = min(fitting, key=lambda candidate: room[candidate])
            rows[row].append(index)
            room[row] -= length
        else:
            rows.append([index])
            room.append(capacity - length)
    return rows


@dataclass(frozen=True, slots=True)
class Row:
    """One forward pass over T tokens of D documents, P of which are predicted with loss."""

    input_ids: "torch.Tensor"
    """(1, T) int64."""
    position_ids: "torch.Tensor"
    """(1, T) int64; 0 where a document begins."""
    lengths: tuple[int, ...]
    """Tokens of each of the D documents, in order; they add up to T."""
    predicting: "torch.Tensor"
    """(P,) int64: positions whose hidden state predicts a token that carries loss."""
    labels: "torch.Tensor"
    """(P,) int64: the tokens they predict."""
    weights: "torch.Tensor"
    """(P,) float32: what each prediction counts."""
    documents: "torch.Tensor"
    """(P,) int64: the document of each prediction."""

    @property
    def tokens(self) -> int:
        """Real tokens; there are no others."""
        return sum(self.lengths)


def row_of(samples: Sequence[Sample], device: "torch.device | str" = "cpu") -> Row:
    """The documents of `samples` one after the other; a sample's stay next to each other."""
    import torch

    documents = [document for sample in samples for document in sample]
    ids: list[int] = []
    positions: list[int] = []
    predicting: list[int] = []
    labels: list[int] = []
    weights: list[float] = []
    owners: list[int] = []
    for number, document in enumerate(documents):
        start = len(ids)
        ids.extend(document.input_ids)
        positions.extend(range(len(document)))
        for place in range(1, len(document)):
            if document.loss[place]:
                predicting.append(start + place - 1)
                labels.append(document.input_ids[place])
                weights.append(document.loss[place])
                owners.append(number)
    return Row(
        input_ids=torch.tensor([ids], device=device),
        position_ids=torch.tensor([positions], device=device),
        lengths=tuple(len(document) for document in documents),
        predicting=torch.tensor(predicting, dtype=torch.int64, device=device),
        labels=torch.tensor(labels, dtype=torch.int64, device=device),
        weights=torch.tensor(weights, dtype=torch.float32, device=device),
        documents=torch.tensor(owners, dtype=torch.int64, device=device),
    )
