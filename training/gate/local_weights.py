"""Log-probabilities by the weights themselves, in this process: trained, merged, and the base."""

from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

from training.adapters import Precision, precision_of
from training.errors import GateError
from training.gate.items import Expected

if TYPE_CHECKING:
    from transformers import PreTrainedModel

__all__ = ["LocalLogProbabilities", "local_log_probabilities"]

Series = tuple[float, ...]
"""One number per token of an expected answer."""


class LocalLogProbabilities(NamedTuple):
    """In the order of the prompts. Without an adapter only `trained` is there."""

    trained: list[Series]
    merged: list[Series] | None = None
    base: list[Series] | None = None


def local_log_probabilities(
    base_folder: Path,
    adapter_folder: Path | None,
    expected: Sequence[Expected],
    precision: Precision = "fp32",
) -> LocalLogProbabilities:
    """Run each prompt through base and adapter, and through the adapter merged into the base.

    The base is read in full precision, not in the four bits that an adapter may have been trained
    over: merged weights are made from it so. Raises GateError where the two do not fit.
    """
    import torch
    from transformers import AutoModelForCausalLM

    device = "cuda" if torch.cuda.is_available() else "cpu"
    try:
        model: Any = AutoModelForCausalLM.from_pretrained(
            base_folder,
            local_files_only=True,
            use_safetensors=True,
            dtype=precision_of(precision, device),
        ).to(device)
    except (OSError, ValueError, KeyError) as error:
        raise GateError(
            f"The base model in {base_folder} cannot be read: {error}",
            fix="Give the folder of the model that the adapter was trained on.",
        ) from error
    if adapter_folder is None:
        return LocalLogProbabilities(_all(model, expected))
    adapted = _adapted(model, adapter_folder)
    trained = _all(adapted, expected)
    with adapted.disable_adapter():
        base = _all(adapted, expected)
    merged = _all(adapted.merge_and_unload(), expected)
    return LocalLogProbabilities(trained, merged, base)


def _adapted(model: Any, folder: Path) -> Any:
    from peft import PeftModel
    from safetensors import SafetensorError

    try:
        return PeftModel.from_pretrained(model, folder)
    except (OSError, ValueError, KeyError, RuntimeError, SafetensorError) as error:
        raise GateError(
            f"The adapter in {folder} does not fit its base: {error}",
            fix="Give the folder that the training wrote, and the base that it names.",
        ) from error


def _all(model: "PreTrainedModel", expected: Sequence[Expected]) -> list[Series]:
    """One prompt at a time, without padding."""
    import torch

    model.eval()
    found = []
    with torch.inference_mode():
        for prompt, answer in expected:
            ids = torch.tensor([[*prompt, *answer]], device=model.device)
            kept = len(answer) + 1  # the last logit predicts what comes after the answer
            logits = model(input_ids=ids, use_cache=False, logits_to_keep=kept).logits[0, :-1]
            told = torch.log_softmax(logits.float(), dim=-1)
            chosen = told.gather(1, ids[0, len(prompt) :, None])[:, 0]
            found.append(tuple(chosen.tolist()))
    return found
