"""Which layers of a model adapters may sit on, by what its weights are called."""

from pathlib import Path
from typing import Final

__all__ = ["adapter_layers", "block_layers"]

_MATRIX: Final = 2


def block_layers(model: Path) -> list[str] | None:
    """Names of the linear layers in the blocks of the model in folder `model`, such as `q_proj`.

    Neither embedding nor head. None where the folder holds no safetensors to tell from.
    """
    from safetensors import safe_open

    found: set[str] = set()
    for file in sorted(model.glob("*.safetensors")):
        with safe_open(file, framework="numpy") as weights:
            for key in weights.keys():  # noqa: SIM118 - no mapping
                parts: list[str] = key.split(".")
                in_block = parts[-1] == "weight" and any(part.isdigit() for part in parts)
                if in_block and len(weights.get_slice(key).get_shape()) == _MATRIX:
                    found.add(parts[-2])
    return sorted(found) or None


def adapter_layers(adapter: Path) -> set[str]:
    """Names of the layers that the adapter in folder `adapter` changes, such as `q_proj`."""
    from safetensors import safe_open

    with safe_open(adapter / "adapter_model.safetensors", framework="numpy") as weights:
        names = [key.partition(".lora_")[0] for key in weights.keys() if ".lora_" in key]  # noqa: SIM118
    return {name.rpartition(".")[2] for name in names}
