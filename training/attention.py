"""Attention inside the documents of a packed row, and nowhere else.

On a CPU each document is attended to by itself: the work grows with the sum of squared lengths, not
with the square of the row, and no mask is built. Elsewhere transformers builds a block-diagonal
mask from the position ids (or calls FlashAttention with the lengths), which suits an accelerator
better than many small kernels. `check_packing` holds either to what the model gives unpacked.
"""

from collections.abc import Mapping, Sequence
from typing import TYPE_CHECKING, Any, Final

from training.errors import PlanError

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

__all__ = ["check_packing", "packing_arguments", "use_document_attention"]

_NAME: Final = "everloop_documents"
_TOLERANCE: Final = {"torch.float32": 1e-3, "torch.bfloat16": 0.15, "torch.float16": 0.05}
"""Largest difference of logits, relative to their spread, that rounding may make."""


def use_document_attention(model: "PreTrainedModel") -> None:
    """Let a model on the CPU attend document by document, where it would have used SDPA."""
    if model.device.type != "cpu" or model.config._attn_implementation != "sdpa":
        return
    from transformers import AttentionInterface, AttentionMaskInterface

    AttentionInterface.register(_NAME, _attend)
    AttentionMaskInterface.register(_NAME, _no_mask)
    model.set_attn_implementation(_NAME)


def packing_arguments(lengths: Sequence[int], model: "PreTrainedModel") -> dict[str, Any]:
    """What a model's forward is given besides ids and positions, so that documents stay apart."""
    import torch

    implementation = model.config._attn_implementation
    if implementation == _NAME:
        return {"document_lengths": tuple(lengths)}
    if implementation.startswith("flash_attention"):
        ends = torch.tensor([0, *lengths], device=model.device).cumsum(0, dtype=torch.int32)
        longest = max(lengths)
        return {
            "cu_seq_lens_q": ends,
            "cu_seq_lens_k": ends,
            "max_length_q": longest,
            "max_length_k": longest,
        }
    return {}


def check_packing(model: "PreTrainedModel", vocabulary: int) -> None:
    """Raise PlanError unless two documents in one row give the logits that each gives alone."""
    import torch

    made = torch.Generator().manual_seed(0)
    documents = [
        torch.randint(0, vocabulary, (1, length), generator=made).to(model.device)
        for length in (5, 7)
    ]
    places = [torch.arange(document.shape[1], device=model.device) for document in documents]
    was_training = model.training
    model.eval()
    with torch.no_grad():
        packed = model(
            input_ids=torch.cat(documents, dim=1),
            position_ids=torch.cat(places)[None],
            use_cache=False,
            **packing_arguments((5, 7), model),
        ).logits
        attention = model.config._attn_implementation
        if attention == _NAME:
            model.set_attn_implementation("sdpa")
        alone = [model(input_ids=document, use_cache=False).logits for document in documents]
        if attention == _NAME:
            model.set_attn_implementation(_NAME)
    model.train(was_training)
    expected = torch.cat(alone, dim=1)
    difference = float((packed - expected).abs().max() / expected.float().std().clamp_min(1e-6))
    if not difference <= _TOLERANCE.get(str(expected.dtype), 1e-3):
        raise PlanError(
            f"{type(model).__name__} lets documents in one row see each other (their logits move "
            f"by {difference:.3g} of their spread).",
            fix="Set `batch.packing: false`.",
        )


def _no_mask(*_arguments: object, **_named: object) -> None:
    """The lengths say all that a mask would."""


def _attend(
    module: "torch.nn.Module",
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    attention_mask: "torch.Tensor | None",
    document_lengths: Sequence[int] | None = None,
    sliding_window: int | None = None,
    **named: Any,
) -> tuple["torch.Tensor", None]:
    """SDPA for each document; `query`, `key`, `value` are (1, heads, T, width)."""
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    options: Mapping[str, Any] = {k: v for k, v in named.items() if k != "is_causal"}
    lengths = list(document_lengths or [query.shape[2]])
    parts = zip(
        query.split(lengths, 2), key.split(lengths, 2), value.split(lengths, 2), strict=True
    )
    attended = []
    for (q, k, v), length in zip(parts, lengths, strict=True):
        mask = None
        if sliding_window is not None and sliding_window < length:
            place = torch.arange(length, device=q.device)
            behind = place[:, None] - place[None, :]
            mask = ((behind >= 0) & (behind < sliding_window))[None, None]
        attended.append(sdpa_attention_forward(module, q, k, v, mask, is_causal=True, **options)[0])
    return torch.cat(attended, dim=1), None
