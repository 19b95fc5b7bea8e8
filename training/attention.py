"""Attention inside the documents of a packed row, and nowhere else.

On a CPU each stretch of the row is attended to by itself, with what it goes on from: the work grows
with the sum of squared lengths, not with the square of the row, and documents can share what they
begin with alike (`training.stretches`). Elsewhere transformers builds a block-diagonal mask from
the position ids (or calls FlashAttention with the lengths), which suits an accelerator better than
many small kernels, and nothing is shared. `check_packing` holds either to what the model gives
unpacked.
"""

from collections.abc import Mapping, Sequence
from functools import lru_cache
from typing import TYPE_CHECKING, Any, Final

from training.errors import PlanError
from training.packing import row_of
from training.stretches import Stretch
from training.tokens.tokenized import Tokenized

if TYPE_CHECKING:
    import torch
    from transformers import PreTrainedModel

__all__ = ["check_packing", "packing_arguments", "shares_prefixes", "use_document_attention"]

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


def shares_prefixes(model: "PreTrainedModel") -> bool:
    """Whether documents may share what they begin with alike."""
    return bool(model.config._attn_implementation == _NAME)


def packing_arguments(stretches: Sequence[Stretch], model: "PreTrainedModel") -> dict[str, Any]:
    """What a model's forward is given besides ids and positions, so that documents stay apart."""
    import torch

    implementation = model.config._attn_implementation
    if implementation == _NAME:
        return {"stretches": tuple(stretches)}
    if implementation.startswith("flash_attention"):
        lengths = [stretch.length for stretch in stretches]
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
    """Raise PlanError unless documents in one row give the logits that each gives alone."""
    import torch

    made = torch.Generator().manual_seed(0)
    ids = torch.randint(0, vocabulary, (22,), generator=made).tolist()
    beginning, ends = ids[:9], (ids[9:13], ids[13:19], ids[19:])
    documents = [ids[13:19], *([*beginning, *end] for end in ends)]
    row = row_of(
        [(Tokenized(tuple(one), (0.0, *(1.0 for _ in one[1:]))),) for one in documents],
        model.device,
        share=shares_prefixes(model),
    )
    was_training = model.training
    model.eval()
    with torch.no_grad():
        packed = model(
            input_ids=row.input_ids,
            position_ids=row.position_ids,
            use_cache=False,
            **packing_arguments(row.stretches, model),
        ).logits[0, row.predicting]
        attention = model.config._attn_implementation
        if attention == _NAME:
            model.set_attn_implementation("sdpa")
        alone = [
            model(input_ids=torch.tensor([one], device=model.device), use_cache=False).logits[0]
            for one in documents
        ]
        if attention == _NAME:
            model.set_attn_implementation(_NAME)
    model.train(was_training)
    expected = torch.cat([logits[:-1] for logits in alone])
    difference = float((packed - expected).abs().max() / expected.float().std().clamp_min(1e-6))
    if not difference <= _TOLERANCE.get(str(expected.dtype), 1e-3):
        raise PlanError(
            f"{type(model).__name__} lets documents in one row see each other (their logits move "
            f"by {difference:.3g} of their spread).",
            fix="Set `batch.packing: false`.",
        )


def _no_mask(*_arguments: object, **_named: object) -> None:
    """The stretches say all that a mask would."""


def _attend(
    module: "torch.nn.Module",
    query: "torch.Tensor",
    key: "torch.Tensor",
    value: "torch.Tensor",
    attention_mask: "torch.Tensor | None",
    stretches: Sequence[Stretch] | None = None,
    sliding_window: int | None = None,
    **named: Any,
) -> tuple["torch.Tensor", None]:
    """SDPA for each stretch; `query`, `key`, `value` are (1, heads, T, width)."""
    import torch
    from transformers.integrations.sdpa_attention import sdpa_attention_forward

    options: Mapping[str, Any] = {k: v for k, v in named.items() if k != "is_causal"}
    parts = stretches or (Stretch(query.shape[2]),)
    lengths = [stretch.length for stretch in parts]
    queries, keys, values = (tensor.split(lengths, 2) for tensor in (query, key, value))
    attended = []
    for place, (stretch, asking) in enumerate(zip(parts, queries, strict=True)):
        seen, told = keys[place], values[place]
        if stretch.before:
            chain = (*stretch.before, place)
            seen = torch.cat([keys[at] for at in chain], 2)
            told = torch.cat([values[at] for at in chain], 2)
        mask = _mask(stretch.length, seen.shape[2], sliding_window, asking.device)
        attended.append(
            sdpa_attention_forward(module, asking, seen, told, mask, is_causal=True, **options)[0]
        )
    return torch.cat(attended, dim=1), None


@lru_cache(maxsize=512)
def _mask(
    asking: int, seen: int, window: int | None, device: "torch.device"
) -> "torch.Tensor | None":
    """(1, 1, asking, seen): the last `asking` of `seen` tokens see themselves and what is before.

    None where plain causal attention says the same.
    """
    import torch

    if asking == seen and (window is None or window >= seen):
        return None
    key = torch.arange(seen, device=device)
    behind = key[seen - asking :, None] - key[None, :]
    within = behind >= 0 if window is None else (behind >= 0) & (behind < window)
    return within[None, None]
