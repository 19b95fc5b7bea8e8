"""Where an export comes from, as it stands beside it in `everloop-export.json`."""

import json
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Final

__all__ = ["LINEAGE_FILE", "Lineage", "licence_of", "read_lineage", "write_lineage"]

LINEAGE_FILE: Final = "everloop-export.json"


@dataclass(frozen=True, slots=True)
class Lineage:
    """What an exported model is made of."""

    base: str
    """Source of the base model, as the adapter names it."""
    adapter: str
    """Name or id of the adapter."""
    adapter_sha256: str
    """Of its weights."""
    method: str
    """`lora`, `rslora` or `dora`; QLoRA adapters are one of these once trained."""
    rank: int
    dtype: str
    """Of the merged weights."""
    licence: str | None = None
    """Of the base, as its model card says."""
    metrics: Mapping[str, float] = field(default_factory=dict)
    """Measured on the adapter."""


def write_lineage(folder: Path, lineage: Lineage) -> None:
    """Write it beside the model."""
    (folder / LINEAGE_FILE).write_text(json.dumps(asdict(lineage), indent=1) + "\n")


def read_lineage(folder: Path) -> Lineage | None:
    """What `write_lineage` wrote; None where nothing, or nothing readable, was written."""
    try:
        return Lineage(**json.loads((folder / LINEAGE_FILE).read_text()))
    except (OSError, ValueError, TypeError):
        return None


def licence_of(folder: Path) -> str | None:
    """The licence that the model card in `folder` names, in the hub's spelling."""
    from huggingface_hub import ModelCard
    from yaml import YAMLError

    card = folder / "README.md"
    if not card.is_file():
        return None
    try:
        data = ModelCard(card.read_text(), ignore_metadata_errors=True).data
    except (OSError, ValueError, YAMLError):
        return None
    licence = getattr(data, "license", None)
    return licence if isinstance(licence, str) else None
