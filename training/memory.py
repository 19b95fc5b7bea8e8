"""How much memory a worker needs, reckoned before any weight is read.

An estimate from shapes alone, near enough to refuse what cannot work: what is counted is what grows
with the model, the row and the vocabulary. Bytes throughout.
"""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from training.adapters import AdapterPlan
from training.errors import PlanError
from training.zero import ZeroPlan

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

__all__ = ["MemoryPlan", "ModelShape", "Need", "check_room", "memory_need"]

GIB: Final = 1024**3
_PROCESS: Final = 700 * 1024**2
"""Python, torch, transformers and Ray, before there is a model."""
_FLOAT: Final = 4
_MOMENTS: Final = 2
_FOUR_BITS: Final = 0.52
"""Bytes of an NF4 weight with its doubly quantised scale."""
_LOGITS: Final = 4
"""Float32 copies of a row's logits that live at once: themselves, their softmax, both gradients."""
_WORKING: Final = 2
"""Blocks' worth of gradients and passing values while one block goes back."""


@dataclass(frozen=True, slots=True)
class ModelShape:
    """A model by its sizes."""

    parameters: int
    linear: int
    """Of these, in linear modules but the output head: what 4 bits hold."""
    adapter: int
    """Parameters that the adapter adds; 0 trains the model's own."""
    layers: int
    width: int
    """Of the hidden state."""
    inner: int
    """Of the feed-forward part."""
    projected: int
    """Of queries, keys and values together."""
    vocabulary: int

    @classmethod
    def of(
        cls,
        model: "PreTrainedModel",
        adapted: "Mapping[str, torch.nn.Linear]",
        plan: AdapterPlan,
    ) -> "ModelShape":
        """From a model without weights and the modules of it that are adapted."""
        import torch

        config = model.config.get_text_config()
        heads = config.num_attention_heads
        head = getattr(config, "head_dim", None) or config.hidden_size // heads
        head_of_keys = getattr(config, "num_key_value_heads", None) or heads
        output = model.get_output_embeddings()
        linear = [m for m in model.modules() if isinstance(m, torch.nn.Linear) and m is not output]
        added = 0 if plan.kind == "full" else sum(_added(m, plan) for m in adapted.values())
        return cls(
            parameters=sum(parameter.numel() for parameter in model.parameters()),
            linear=sum(module.weight.numel() for module in linear),
            adapter=added,
            layers=config.num_hidden_layers,
            width=config.hidden_size,
            inner=getattr(config, "intermediate_size", None) or 4 * config.hidden_size,
            projected=(heads + 2 * head_of_keys) * head,
            vocabulary=config.vocab_size,
        )


@dataclass(frozen=True, slots=True)
class MemoryPlan:
    """What else decides the need."""

    row_tokens: int
    """Of the longest row that can come up."""
    loss_tokens: int
    """Of these, how many carry loss: logits are computed there only."""
    four_bits: bool = False
    bf16: bool = False
    checkpoint_activations: bool = False
    zero: ZeroPlan | None = None
    workers: int = 1
    gpu: bool = False


@dataclass(frozen=True, slots=True)
class Need:
    """Bytes of a worker at its height, by what they are for."""

    process: int
    weights: int
    training: int
    """Gradients and moments."""
    activations: int
    logits: int

    @property
    def total(self) -> int:
        """All of it."""
        return self.process + self.weights + self.training + self.activations + self.logits

    def __str__(self) -> str:
        parts = {
            "weights": self.weights,
            "gradients and moments": self.training,
            "activations": self.activations,
            "logits": self.logits,
            "the process": self.process,
        }
        named = ", ".join(f"{name} {size / GIB:.1f}" for name, size in parts.items())
        return f"{self.total / GIB:.1f} GiB ({named})"


def memory_need(shape: ModelShape, plan: MemoryPlan) -> Need:
    """What a worker of a run needs at its height, on its GPU if it has one."""
    trained = shape.adapter or shape.parameters
    weights, training = _state(shape, plan, trained)
    number = 2 if plan.bf16 else _FLOAT
    # What a block keeps of a token for its backward pass: its norms' and projections' inputs and
    # outputs; queries and keys before, within and after their rotation; the gate, its activation,
    # the up-projection and their product.
    block = number * (10 * shape.width + 3 * shape.projected + 4 * shape.inner)
    if plan.checkpoint_activations:
        kept = number * shape.width * shape.layers + block
    else:
        kept = block * shape.layers
    kept += _WORKING * block
    return Need(
        process=_PROCESS,
        weights=weights,
        training=training,
        activations=kept * plan.row_tokens,
        logits=_LOGITS * _FLOAT * plan.loss_tokens * shape.vocabulary,
    )


def _state(shape: ModelShape, plan: MemoryPlan, trained: int) -> tuple[int, int]:
    """Weights, and gradients with moments."""
    whole = _frozen(shape, plan) + _held(shape, plan, trained)
    gradients, moments = _FLOAT * trained, _FLOAT * _MOMENTS * trained
    if plan.zero is None:
        return whole, gradients + moments
    shares = max(1, plan.workers)
    spread = 0
    if not (plan.gpu and plan.zero.offload == "cpu"):
        spread = (moments + _FLOAT * trained) // shares  # with float32 weights to move
    if plan.zero.stage >= 2:
        gradients //= shares
    if plan.zero.stage < 3:
        return whole, gradients + spread
    cut, training = whole // shares, gradients + spread
    # Each worker reads the model whole before it is cut.
    return (whole, 0) if whole > cut + training else (cut, training)


def _held(shape: ModelShape, plan: MemoryPlan, trained: int) -> int:
    """Trained weights as the passes read them."""
    if plan.zero is not None:
        return trained * (2 if plan.bf16 else _FLOAT)
    copies = 2 if plan.bf16 and not shape.adapter else 0  # autocast's
    return trained * (_FLOAT + copies)


def _frozen(shape: ModelShape, plan: MemoryPlan) -> int:
    if not shape.adapter:
        return 0
    if plan.four_bits:
        return int(_FOUR_BITS * shape.linear) + _FLOAT * (shape.parameters - shape.linear)
    return shape.parameters * (2 if plan.bf16 else _FLOAT)


def _added(module: "torch.nn.Linear", plan: AdapterPlan) -> int:
    wide: int = module.out_features
    low_rank = plan.rank * (int(module.in_features) + wide)
    return low_rank + (wide if plan.kind == "dora" else 0)


def check_room(need: Need, workers: int, rooms: Sequence[int], where: str, row_tokens: int) -> None:
    """Raise PlanError unless `workers` that need as much each fit into `rooms`, one a machine."""
    if sum(room // need.total for room in rooms) >= workers:
        return
    largest = max(rooms, default=0)
    raise PlanError(
        f"A worker needs about {need}; {where} has {largest / GIB:.1f} GiB"
        + (f", and {workers} workers are asked for." if workers > 1 else "."),
        fix=f"Lower `batch.row_tokens` (now {row_tokens}) or `batch.max_tokens`, set "
        "`checkpoint_activations: true`, choose `adapter.kind: qlora`, `parallel.kind: zero3` over "
        "more workers, or a smaller model.",
    )
