"""Samples into rows: one row is one forward pass, and holds no padding.

A row of several documents gives each its own position ids from 0, and the stretches by which
attention is kept inside a document (`training.attention`). So the rows in which a document travels
change its loss by rounding only. Tokens behind the last one that carries loss are left out: under
causal attention nothing that counts depends on them.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from training.stretches import Layout, Stretch, apart, shared
from training.tokens.tokenized import Sample, Tokenized

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
    """One forward pass over T tokens for D documents, with P predictions that carry loss."""

    input_ids: "torch.Tensor"
    """(1, T) int64."""
    position_ids: "torch.Tensor"
    """(1, T) int64; 0 where a document begins."""
    layout: Layout
    """Which of the T tokens each document is made of."""
    lengths: tuple[int, ...]
    """Tokens that each of the D documents has, in order, computed or not."""
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
        """Real tokens of its documents: no padding, and each document's own count."""
        return sum(self.lengths)

    @property
    def stretches(self) -> tuple[Stretch, ...]:
        """Those of the layout."""
        return self.layout.stretches


def row_of(
    samples: Sequence[Sample], device: "torch.device | str" = "cpu", *, share: bool = False
) -> Row:
    """The documents of `samples` in one row; with `share`, what they begin with alike only once.

    Sharing wants attention that knows stretches: see `training.attention.shares_prefixes`.
    """
    import torch

    documents = [document for sample in samples for document in sample]
    needed = [_needed(document) for document in documents]
    layout = shared(needed) if share else apart([len(ids) for ids in needed])
    starts = [0]
    for stretch in layout.stretches:
        starts.append(starts[-1] + stretch.length)
    ids = [0] * starts[-1]
    positions = [0] * starts[-1]
    predicting: list[int] = []
    labels: list[int] = []
    weights: list[float] = []
    owners: list[int] = []
    for number, (document, path) in enumerate(zip(documents, layout.paths, strict=True)):
        places = [at for part in path for at in range(starts[part], starts[part + 1])]
        for position, at in enumerate(places):
            ids[at], positions[at] = document.input_ids[position], position
            if position + 1 < len(document) and (weight := document.loss[position + 1]):
                predicting.append(at)
                labels.append(document.input_ids[position + 1])
                weights.append(weight)
                owners.append(number)
    return Row(
        input_ids=torch.tensor([ids], device=device),
        position_ids=torch.tensor([positions], device=device),
        layout=layout,
        lengths=tuple(len(document) for document in documents),
        predicting=torch.tensor(predicting, dtype=torch.int64, device=device),
        labels=torch.tensor(labels, dtype=torch.int64, device=device),
        weights=torch.tensor(weights, dtype=torch.float32, device=device),
        documents=torch.tensor(owners, dtype=torch.int64, device=device),
    )


def _needed(document: Tokenized) -> tuple[int, ...]:
    """Its tokens before the last that carries loss, and the first one in any case."""
    last = max((place for place, weight in enumerate(document.loss) if weight), default=1)
    return document.input_ids[: max(1, last)]
