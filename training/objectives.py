"""What is minimised over a row: the answer's tokens (supervised), or a preference (DPO).

Logits are computed at the predicting positions only: the model is asked to keep those hidden states
before its output head. With a vocabulary of 50,000 and one answer token in ten that saves a fifth
of the forward pass and nearly all memory of the loss.
"""

from collections.abc import Callable
from contextlib import AbstractContextManager
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol, cast

from training.attention import packing_arguments

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from training.packing import Row

__all__ = ["Objective", "Preference", "RowLoss", "Supervised"]


@dataclass(frozen=True, slots=True)
class RowLoss:
    """Sums over a row."""

    total: "torch.Tensor"
    """Scalar, with its graph."""
    right: float
    """Supervised: predictions whose likeliest token is the label. DPO: pairs told apart rightly."""
    judged: int
    """What `right` is out of."""


class Objective(Protocol):
    """A loss over rows."""

    def weight(self, row: "Row") -> float:
        """What a row's `total` is a sum over; a step divides by the weight of all its rows."""
        ...

    def __call__(self, model: "PreTrainedModel", row: "Row") -> RowLoss:
        """Run the model over the row."""
        ...


class Supervised:
    """Weighted cross entropy of the tokens that carry loss."""

    def weight(self, row: "Row") -> float:
        """The weights of its tokens, added up."""
        return float(row.weights.sum())

    def __call__(self, model: "PreTrainedModel", row: "Row") -> RowLoss:
        """Run the model over the row."""
        import torch

        logits = _logits(model, row)
        losses = torch.nn.functional.cross_entropy(logits, row.labels, reduction="none")
        right = (logits.detach().argmax(-1) == row.labels).sum()
        return RowLoss(
            total=(losses * row.weights).sum(),
            right=float(right),
            judged=len(row.labels),
        )


class Preference:
    """Direct preference optimisation (Rafailov et al., 2023), sigmoid loss; its unit is the pair.

    The reference is the same model with its adapter off, so that it costs no memory of its own.
    """

    def __init__(self, beta: float = 0.1) -> None:
        self._beta = beta

    def weight(self, row: "Row") -> float:
        """Its pairs."""
        return len(row.lengths) / 2

    def __call__(self, model: "PreTrainedModel", row: "Row") -> RowLoss:
        """Run the model over the row twice, without its adapter first; documents come in pairs."""
        import torch

        without = cast("Callable[[], AbstractContextManager[None]]", model.disable_adapter)
        with torch.no_grad(), without():
            reference = _answer_log_probabilities(model, row)
        gain = _answer_log_probabilities(model, row) - reference
        margin = gain[0::2] - gain[1::2]
        return RowLoss(
            total=-torch.nn.functional.logsigmoid(self._beta * margin).sum(),
            right=float((margin.detach() > 0).sum()),
            judged=len(margin),
        )


def _logits(model: "PreTrainedModel", row: "Row") -> "torch.Tensor":
    """(P, vocabulary) float32."""
    answer = model(
        input_ids=row.input_ids,
        position_ids=row.position_ids,
        use_cache=False,
        logits_to_keep=row.predicting,
        **packing_arguments(row.stretches, model),
    )
    return cast("torch.Tensor", answer.logits[0].float())


def _answer_log_probabilities(model: "PreTrainedModel", row: "Row") -> "torch.Tensor":
    """(D,) the summed log-probability of each document's answer."""
    import torch

    losses = torch.nn.functional.cross_entropy(_logits(model, row), row.labels, reduction="none")
    sums = torch.zeros(len(row.lengths), dtype=losses.dtype, device=losses.device)
    return sums.index_add(0, row.documents, -losses * row.weights)
