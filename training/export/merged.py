"""An adapter merged into its base: an ordinary Hugging Face folder.

The base is read in float32 whatever it was trained over, so a QLoRA adapter goes into the weights
that were there before they were quantised, and only the sum is rounded to the type asked for.
"""

from collections.abc import Callable
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, Literal, get_args

from cluster.manifest import sha256_of
from cluster.models import PACKAGED
from training.errors import ExportError
from training.export.lineage import Lineage, licence_of, write_lineage
from training.export.source import ADAPTER_WEIGHTS, Adapter, read_adapter_config
from training.export.target import check_free, new_folder

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["DTYPES", "Dtype", "Report", "merge_adapter"]

Dtype = Literal["float32", "bfloat16", "float16"]
DTYPES: Final[tuple[Dtype, ...]] = get_args(Dtype)
Report = Callable[[str], None]
"""Called with a short sentence whenever a new step begins."""


def merge_adapter(
    adapter: Adapter,
    base_folder: Path,
    target: Path,
    *,
    dtype: Dtype = "float32",
    force: bool = False,
    report: Report = lambda _step: None,
) -> Lineage:
    """Write base and adapter as one model to the folder `target`, with tokenizer and template.

    Takes 4 bytes of memory per weight. A tokenizer beside the adapter goes before the base's.
    Raises ExportError when adapter and base do not fit, or when `target` is taken.
    """
    import torch

    config = read_adapter_config(adapter.folder)
    check_free(target, force=force)
    if target.absolute() in (base_folder.absolute(), adapter.folder.absolute()):
        raise ExportError(f"{target} is what the model is made from.", fix="Give another --out.")
    report(f"reading the base model {base_folder.name}")
    model = _base(base_folder)
    report(f"merging {adapter.name} into it")
    model = _merged(model, adapter.folder)
    held = getattr(torch, dtype)
    model = model.to(held)
    _check_finite(model, dtype)
    lineage = _lineage(adapter, base_folder, config, dtype)
    report(f"writing {target}")
    with new_folder(target, force=force) as folder:
        model.save_pretrained(folder)
        _save_tokenizer(adapter.folder, base_folder, folder)
        write_lineage(folder, lineage)
    return lineage


def _base(folder: Path) -> "PreTrainedModel":
    import torch
    from transformers import AutoModelForCausalLM

    try:
        return AutoModelForCausalLM.from_pretrained(
            folder, local_files_only=True, use_safetensors=True, dtype=torch.float32
        )
    except (OSError, ValueError, KeyError) as error:
        raise ExportError(
            f"The base model in {folder} cannot be read: {error}",
            fix="Give --base the folder, packaged name or hub id of the model it was trained on.",
        ) from error


def _merged(model: "PreTrainedModel", adapter: Path) -> "PreTrainedModel":
    """Merge, and compare names: peft only warns of weights that find no place."""
    from peft import PeftModel, get_peft_model_state_dict
    from safetensors import SafetensorError, safe_open

    other_base = "Give as --base the model that the adapter was trained on."
    try:
        with safe_open(adapter / ADAPTER_WEIGHTS, framework="pt") as opened:
            given = set(opened.keys())
        wrapped = PeftModel.from_pretrained(model, adapter, torch_device="cpu")
    except SafetensorError as error:
        raise ExportError(f"{adapter / ADAPTER_WEIGHTS} is damaged: {error}.") from error
    except (RuntimeError, ValueError, TypeError) as error:
        raise ExportError(
            f"The adapter {adapter} does not fit the base model: {_first_lines(error)}",
            fix=other_base,
        ) from error
    taken = set(get_peft_model_state_dict(wrapped, save_embedding_layers=False))
    if odd := sorted((given - taken - wrapped.state_dict().keys()) | (taken - given)):
        raise ExportError(
            f"The adapter {adapter} does not fit the base model: {odd[0]} is "
            f"{'not in the model' if odd[0] in given else 'not in the adapter'} "
            f"({len(odd)} such weights).",
            fix=other_base,
        )
    merged: PreTrainedModel = wrapped.merge_and_unload()
    return merged


def _check_finite(model: "PreTrainedModel", dtype: Dtype) -> None:
    import torch

    for name, weight in model.named_parameters():
        if not torch.isfinite(weight).all():
            raise ExportError(
                f"{name} holds values that are no number in {dtype}.",
                fix="Export with --dtype float32 or bfloat16; if that fails too, the adapter's "
                "training diverged.",
            )


def _save_tokenizer(adapter: Path, base: Path, folder: Path) -> None:
    from transformers import AutoTokenizer

    holder = adapter if (adapter / "tokenizer_config.json").is_file() else base
    try:
        AutoTokenizer.from_pretrained(holder, local_files_only=True).save_pretrained(folder)
    except (OSError, ValueError, KeyError) as error:
        raise ExportError(f"The tokenizer in {holder} cannot be read: {error}") from error


def _lineage(adapter: Adapter, base: Path, config: dict[str, Any], dtype: Dtype) -> Lineage:
    packaged = {f"packaged:{name}": model.licence for name, model in PACKAGED.items()}
    method = "dora" if config.get("use_dora") else "rslora" if config.get("use_rslora") else "lora"
    return Lineage(
        base=adapter.base_source or base.name,
        adapter=adapter.name,
        adapter_sha256=sha256_of(adapter.folder / ADAPTER_WEIGHTS),
        method=method,
        rank=int(config.get("r", 0)),
        dtype=dtype,
        licence=packaged.get(adapter.base_source) or licence_of(base),
        metrics=dict(adapter.metrics),
    )


def _first_lines(error: Exception) -> str:
    return " ".join(str(error).split())[:300]
