"""Which models GGUF can hold as they are, and what of their shape it is told.

Keys and tensor names are those of the GGUF specification and of the `gguf` package
(https://github.com/ggml-org/ggml/blob/master/docs/gguf.md). A model that is not in the table, or
uses something that its GGUF namesake has not, is refused: a file that loads and answers nonsense
helps nobody.
"""

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from training.errors import ExportError

if TYPE_CHECKING:
    import numpy as np
    import torch
    from gguf import GGUFWriter

__all__ = ["ARCHITECTURES", "Architecture", "architecture_of", "rope_factors"]


@dataclass(frozen=True, slots=True)
class Architecture:
    """How one class of Hugging Face models becomes a GGUF architecture."""

    name: str
    """In GGUF."""
    interleaves: bool = False
    """Rotary pairs are neighbours in GGUF, halves of the head in Hugging Face."""
    qkv_biases: bool = False

    def describe(self, writer: "GGUFWriter", config: Any) -> None:
        """Write the model's shape."""
        heads = config.num_attention_heads
        head_size = getattr(config, "head_dim", None) or config.hidden_size // heads
        writer.add_block_count(config.num_hidden_layers)
        writer.add_context_length(config.max_position_embeddings)
        writer.add_embedding_length(config.hidden_size)
        writer.add_feed_forward_length(config.intermediate_size)
        writer.add_head_count(heads)
        writer.add_head_count_kv(config.num_key_value_heads)
        writer.add_key_length(head_size)
        writer.add_value_length(head_size)
        writer.add_rope_dimension_count(head_size)
        writer.add_rope_freq_base(config.rope_parameters["rope_theta"])
        writer.add_layer_norm_rms_eps(config.rms_norm_eps)
        writer.add_vocab_size(config.vocab_size)

    def arrange(self, name: str, weight: "torch.Tensor", config: Any) -> "torch.Tensor":
        """Order the rows of `weight` (its Hugging Face name is `name`) as GGUF has them."""
        if not self.interleaves:
            return weight
        if name.endswith("self_attn.q_proj.weight"):
            return _interleaved(weight, config.num_attention_heads)
        if name.endswith("self_attn.k_proj.weight"):
            return _interleaved(weight, config.num_key_value_heads)
        return weight

    def foreign(self, config: Any) -> list[str]:
        """What `config` uses that the GGUF architecture has not."""
        rope = config.rope_parameters.get("rope_type", "default")
        allowed = ("default", "llama3") if self.name == "llama" else ("default",)
        layers = set(getattr(config, "layer_types", None) or ()) - {"full_attention"}
        biases = not self.qkv_biases and getattr(config, "attention_bias", False)
        found = {
            f"rope scaling {rope!r}": rope not in allowed,
            f"activation {config.hidden_act!r}": config.hidden_act != "silu",
            "biases of the attention": biases,
            "biases of the MLP": getattr(config, "mlp_bias", False),
            "sliding windows": layers or getattr(config, "use_sliding_window", False),
            "quantised weights": getattr(config, "quantization_config", None),
        }
        return [what for what, is_used in found.items() if is_used]


ARCHITECTURES: Final = {
    "LlamaForCausalLM": Architecture("llama", interleaves=True),
    "Qwen2ForCausalLM": Architecture("qwen2", qkv_biases=True),
    "Qwen3ForCausalLM": Architecture("qwen3"),
}


def architecture_of(config: Any) -> Architecture:
    """The entry of a model's configuration. Raises ExportError where there is none."""
    names = config.architectures or [type(config).__name__]
    found = ARCHITECTURES.get(names[0])
    if found is None:
        raise ExportError(
            f"{names[0]} cannot be exported to GGUF.",
            fix=f"Supported are {', '.join(ARCHITECTURES)}; or export with --to hf.",
        )
    if foreign := found.foreign(config):
        raise ExportError(
            f"This {names[0]} cannot be exported to GGUF: it uses {', '.join(foreign)}.",
            fix="Export with --to hf.",
        )
    return found


def rope_factors(config: Any) -> "np.ndarray[Any, Any] | None":
    """By what Llama 3 divides each rotary frequency, as GGUF's `rope_freqs`; None elsewhere."""
    import numpy as np
    import torch

    if config.rope_parameters.get("rope_type", "default") != "llama3":
        return None
    from transformers.modeling_rope_utils import ROPE_INIT_FUNCTIONS

    scaled, _attention = ROPE_INIT_FUNCTIONS["llama3"](config, torch.device("cpu"))
    size = 2 * len(scaled)
    plain = config.rope_parameters["rope_theta"] ** -(torch.arange(0, size, 2).float() / size)
    return np.asarray(plain / scaled, dtype=np.float32)


def _interleaved(weight: "torch.Tensor", heads: int) -> "torch.Tensor":
    """Rows (half, place) of each head become rows (place, half)."""
    split = weight.reshape(heads, 2, -1, weight.shape[1])
    return split.transpose(1, 2).reshape(weight.shape)
