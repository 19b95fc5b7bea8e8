"""Who steps: an engine holds what is trained, adds gradients up and moves the weights.

The loop says what a step is made of; an engine says where weights, gradients and moments lie. With
`PlainEngine` each worker has all of them. `training.zero` spreads them over the workers. Either
gives and takes them whole, by name, so that a checkpoint does not know which of the two wrote it.
"""

import math
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import TYPE_CHECKING, Final, Protocol

from training.workers import Workers

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

    from training.loop import LoopPlan
    from training.packing import Row

__all__ = ["MOMENTS", "Engine", "PlainEngine", "decaying_groups", "trained_parameters"]

MOMENTS: Final = ("exp_avg", "exp_avg_sq")
"""AdamW's, by torch's names; an engine calls a parameter's `exp_avg/NAME`."""


class Engine(Protocol):
    """All calls are collective: every worker makes them, in the same order."""

    model: "PreTrainedModel"
    """What rows are run through."""
    trained: "dict[str, torch.nn.Parameter]"
    """By name. May hold nothing but a worker's part of each: see `weights`."""

    def passes(
        self, rows: "Sequence[Row]", spare: "Callable[[], Row]"
    ) -> "Iterable[tuple[Row, float]]":
        """What this worker runs forward, and what each counts: 1 for its rows.

        Where workers must pass together, one that has no row left runs `spare()`, which counts 0.
        """
        ...

    def agreed(self, stop: bool) -> bool:
        """Whether to break off between two passes: where workers pass together, all do or none."""
        ...

    def backward(self, loss: "torch.Tensor") -> None:
        """Add the gradient of `loss`; a step's is the sum of all workers'."""
        ...

    def step(self, rate: float) -> float:
        """Clip and apply the summed gradients; returns their norm before clipping.

        When the norm is no finite number, nothing has moved.
        """
        ...

    def forget(self) -> None:
        """Drop the gradients of a step that is not taken. No other step follows."""
        ...

    def weights(self) -> "dict[str, torch.Tensor]":
        """The trained weights, whole, in float32; on the first worker, perhaps {} on others.

        May be the very weights that move on: copy what you keep.
        """
        ...

    def moments(self) -> "dict[str, torch.Tensor]":
        """`exp_avg/NAME` and `exp_avg_sq/NAME`, whole; like `weights` otherwise."""
        ...

    def put(self, weights: "Mapping[str, torch.Tensor]") -> None:
        """Set trained weights, given whole on every worker."""
        ...

    def restore(self, moments: "Mapping[str, torch.Tensor]", step: int) -> None:
        """Set the moments of a run that has taken `step` steps, given whole on every worker."""
        ...


class PlainEngine:
    """Weights, gradients and moments whole on every worker; gradients are summed once a step."""

    def __init__(self, model: "PreTrainedModel", plan: "LoopPlan", workers: Workers) -> None:
        import torch

        self.model = model
        self.trained = trained_parameters(model)
        self._most = plan.max_gradient_norm
        self._workers = workers
        self._optimizer = torch.optim.AdamW(
            decaying_groups(self.trained, plan.weight_decay),
            lr=plan.learning_rate,
            betas=plan.betas,
            fused=True,
        )
        workers.take_from_first([parameter.data for parameter in self.trained.values()])

    def passes(
        self, rows: "Sequence[Row]", spare: "Callable[[], Row]"
    ) -> "Iterable[tuple[Row, float]]":
        """Its rows: no worker waits for another between two of them."""
        return ((row, 1.0) for row in rows)

    def agreed(self, stop: bool) -> bool:
        """Its own word; the loop adds the words up after the rows."""
        return stop

    def backward(self, loss: "torch.Tensor") -> None:
        """Add the gradient of `loss` to this worker's."""
        loss.backward()

    def step(self, rate: float) -> float:
        """Sum over the workers, clip and apply."""
        import torch

        gradients = [self._gradient(parameter) for parameter in self.trained.values()]
        self._workers.add_up(gradients)
        norm = float(torch.nn.utils.get_total_norm(gradients))
        if not math.isfinite(norm):
            return norm
        if norm > self._most:
            torch._foreach_mul_(gradients, self._most / norm)
        for group in self._optimizer.param_groups:
            group["lr"] = rate
        self._optimizer.step()
        self._optimizer.zero_grad(set_to_none=True)
        return norm

    def forget(self) -> None:
        """Drop the gradients."""
        self._optimizer.zero_grad(set_to_none=True)

    def weights(self) -> "dict[str, torch.Tensor]":
        """The very weights."""
        return {name: parameter.detach() for name, parameter in self.trained.items()}

    def moments(self) -> "dict[str, torch.Tensor]":
        """The very moments, of parameters that were moved at all."""
        return {
            f"{key}/{name}": state[key]
            for name, parameter in self.trained.items()
            if (state := self._optimizer.state.get(parameter))
            for key in MOMENTS
        }

    def put(self, weights: "Mapping[str, torch.Tensor]") -> None:
        """Copy them in."""
        for name, whole in weights.items():
            self.trained[name].data.copy_(whole)

    def restore(self, moments: "Mapping[str, torch.Tensor]", step: int) -> None:
        """Copy them in."""
        import torch

        for name, parameter in self.trained.items():
            if f"{MOMENTS[0]}/{name}" not in moments:
                continue
            self._optimizer.state[parameter] = {
                "step": torch.tensor(float(step), device=parameter.device),
                **{
                    key: moments[f"{key}/{name}"].to(parameter.device, copy=True) for key in MOMENTS
                },
            }

    def _gradient(self, parameter: "torch.Tensor") -> "torch.Tensor":
        import torch

        if parameter.grad is None:
            parameter.grad = torch.zeros_like(parameter)
        return parameter.grad


def trained_parameters(model: "PreTrainedModel") -> "dict[str, torch.nn.Parameter]":
    """By name."""
    return {name: p for name, p in model.named_parameters() if p.requires_grad}


def decaying_groups(
    trained: "Mapping[str, torch.nn.Parameter]", decay: float
) -> list[dict[str, object]]:
    """Weights decay; biases and the scales of norms do not."""
    matrices = [p for p in trained.values() if p.ndim > 1]
    others = [p for p in trained.values() if p.ndim <= 1]
    groups: list[dict[str, object]] = [{"params": matrices, "weight_decay": decay}]
    return [*groups, {"params": others, "weight_decay": 0.0}] if others else groups
