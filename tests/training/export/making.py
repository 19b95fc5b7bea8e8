"""Tiny adapters that change something, and the logits that tell."""

import json
from pathlib import Path
from typing import TYPE_CHECKING

from tests.training.tiny import tiny_chat_folder
from training.adapters import ALL_LINEAR, AdapterPlan, Kind, prepare_model

if TYPE_CHECKING:
    import torch

__all__ = ["adapter_folder", "base_folder", "logits"]


def base_folder(folder: Path) -> Path:
    """A Llama of two layers with tokenizer, template, generation defaults and a model card."""
    tiny_chat_folder(folder)
    (folder / "generation_config.json").write_text('{"max_new_tokens": 7, "eos_token_id": 256}')
    (folder / "README.md").write_text("---\nlicense: apache-2.0\n---\n# A tiny model\n")
    return folder


def adapter_folder(
    folder: Path, base: Path, kind: Kind = "lora", targets: tuple[str, ...] = (ALL_LINEAR,)
) -> Path:
    """An adapter whose every weight is drawn anew, so that it moves the base's answers."""
    import torch

    model = prepare_model(base, AdapterPlan(kind=kind, rank=4, targets=targets), seed=3)
    torch.manual_seed(5)
    for name, weight in model.named_parameters():
        if weight.requires_grad and "magnitude" not in name:
            torch.nn.init.normal_(weight, std=0.2)
    model.save_pretrained(folder, save_embedding_layers=False)
    config = json.loads((folder / "adapter_config.json").read_text())
    config["base_model_name_or_path"] = str(base)
    (folder / "adapter_config.json").write_text(json.dumps(config))
    return folder


def logits(model: "torch.nn.Module") -> "torch.Tensor":
    """Of a fixed row of tokens."""
    import torch

    model.eval()
    with torch.no_grad():
        result: torch.Tensor = model(torch.arange(0, 240, 7)[None]).logits
    return result
