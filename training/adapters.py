"""A model made ready to be trained: loaded, and wrapped in the adapter that is asked for.

Everything about adapters comes from peft; what is ours is to refuse, before any weight is read,
what peft would refuse on the cluster.
"""

from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal

from training.errors import PlanError

if TYPE_CHECKING:
    import torch
    from peft import LoraConfig
    from transformers import PreTrainedModel

__all__ = [
    "ALL_LINEAR",
    "AdapterPlan",
    "Kind",
    "Precision",
    "adapted_modules",
    "meta_model",
    "precision_of",
    "prepare_model",
]

Kind = Literal["lora", "rslora", "dora", "qlora", "full"]
Precision = Literal["auto", "fp32", "bf16"]
ALL_LINEAR: Final = "all-linear"


@dataclass(frozen=True, slots=True)
class AdapterPlan:
    """Which weights are trained. `full` trains the model's own and ignores the rest."""

    kind: Kind = "lora"
    rank: int = 16
    alpha: float = 32.0
    dropout: float = 0.0
    targets: tuple[str, ...] = (ALL_LINEAR,)
    """Linear modules by the last part of their name, or a dotted end; or all but the head."""


def precision_of(wanted: Precision, device: str) -> "torch.dtype":
    """bfloat16 where the hardware multiplies it (a recent GPU, a CPU with AMX), else float32."""
    import torch

    if wanted == "fp32":
        return torch.float32
    if wanted == "bf16":
        return torch.bfloat16
    if device.startswith("cuda"):
        fast = torch.cuda.is_bf16_supported(including_emulation=False)
    else:
        fast = torch.cpu._is_amx_tile_supported()
    return torch.bfloat16 if fast else torch.float32


def meta_model(folder: Path) -> "PreTrainedModel":
    """The model's shape without weights. Raises PlanError for what transformers cannot train."""
    import torch
    from transformers import AutoConfig, AutoModelForCausalLM

    try:
        config = AutoConfig.from_pretrained(folder, local_files_only=True)
        with torch.device("meta"):
            model: PreTrainedModel = AutoModelForCausalLM.from_config(config)
    except (OSError, ValueError, KeyError) as error:
        raise PlanError(
            f"The model in {folder} is none that transformers can train: {error}",
            fix="Give the folder or hub id of a causal language model.",
        ) from error
    return model


def adapted_modules(model: "PreTrainedModel", plan: AdapterPlan) -> "dict[str, torch.nn.Linear]":
    """The linear modules that the adapter sits on, by name; with `full`, all but the head.

    Raises PlanError for a module that the model lacks, with those that it has.
    """
    import torch

    head = model.get_output_embeddings()
    linear = {
        name: module
        for name, module in model.named_modules()
        if isinstance(module, torch.nn.Linear) and module is not head
    }
    if plan.kind == "full" or ALL_LINEAR in plan.targets:
        return linear
    missing = [t for t in plan.targets if not any(_ends(name, t) for name in linear)]
    if missing:
        known = sorted({name.rpartition(".")[2] for name in linear})
        raise PlanError(
            f"adapter.target_modules names {', '.join(missing)}, which the model has not.",
            fix=f"Its linear modules are {', '.join(known)}; or give {ALL_LINEAR!r} for all.",
        )
    return {n: m for n, m in linear.items() if any(_ends(n, target) for target in plan.targets)}


def _ends(name: str, target: str) -> bool:
    return name == target or name.endswith(f".{target}")


def prepare_model(
    folder: Path,
    plan: AdapterPlan,
    *,
    seed: int,
    device: str = "cpu",
    dtype: "torch.dtype | None" = None,
    checkpoint_activations: bool = False,
) -> "PreTrainedModel":
    """Load the model, add the adapter (seeded, so equal on every worker), and switch to training.

    Frozen weights are held in `dtype`, trained ones in float32.
    """
    import torch
    from transformers import AutoModelForCausalLM

    from training.attention import use_document_attention

    held = dtype or torch.float32
    options: dict[str, Any] = {"dtype": torch.float32 if plan.kind == "full" else held}
    if plan.kind == "qlora":
        options |= _four_bits(held, device)
    model = AutoModelForCausalLM.from_pretrained(
        folder, local_files_only=True, use_safetensors=True, **options
    )
    if plan.kind != "qlora":
        model = model.to(device)
    use_document_attention(model)
    model.config.use_cache = False
    torch.manual_seed(seed)
    if plan.kind == "qlora":
        from peft import prepare_model_for_kbit_training

        model = prepare_model_for_kbit_training(model, use_gradient_checkpointing=False)
    if plan.kind != "full":
        from peft import get_peft_model

        model = get_peft_model(model, _lora(plan))
    if checkpoint_activations:
        model.gradient_checkpointing_enable(gradient_checkpointing_kwargs={"use_reentrant": False})
    model.train()
    return model


def _lora(plan: AdapterPlan) -> "LoraConfig":
    from peft import LoraConfig

    return LoraConfig(
        task_type="CAUSAL_LM",
        r=plan.rank,
        lora_alpha=plan.alpha,
        lora_dropout=plan.dropout,
        target_modules=ALL_LINEAR if ALL_LINEAR in plan.targets else list(plan.targets),
        use_rslora=plan.kind == "rslora",
        use_dora=plan.kind == "dora",
    )


def _four_bits(dtype: "torch.dtype", device: str) -> dict[str, Any]:
    """NF4 with double quantisation (Dettmers et al., 2023)."""
    from transformers import BitsAndBytesConfig

    quantised = BitsAndBytesConfig(
        load_in_4bit=True,
        bnb_4bit_quant_type="nf4",
        bnb_4bit_use_double_quant=True,
        bnb_4bit_compute_dtype=dtype,
    )
    return {"quantization_config": quantised, "device_map": {"": device}}
