"""The model card that is pushed with an export: what it is made of, and what was measured."""

import json
import re
from collections.abc import Iterator
from pathlib import Path
from typing import Final

from training.export.lineage import Lineage, read_lineage
from training.export.source import ADAPTER_CONFIG

__all__ = ["model_card"]

_HUB_ID: Final = re.compile(r"[\w-][\w.-]*/[\w-][\w.-]*")


def model_card(path: Path, title: str, lineage: Lineage | None = None) -> str:
    """Markdown with the hub's metadata. The licence stands there only where it is known.

    `path` is the folder or file that is pushed; `lineage` is what stands in it unless given.
    """
    from huggingface_hub import ModelCardData

    found = lineage or read_lineage(path)
    is_adapter = (path / ADAPTER_CONFIG).is_file()
    base = found.base if found else _base_of(path)
    data = ModelCardData(
        base_model=base if base and _HUB_ID.fullmatch(base) else None,
        license=found.licence if found else None,
        library_name="gguf" if _holds_gguf(path) else "peft" if is_adapter else "transformers",
        pipeline_tag="text-generation",
        tags=["everloop", *([found.method] if found else [])],
    )
    lines = _lines(title, base, found)
    return f"---\n{data.to_yaml()}\n---\n" + "\n".join(lines) + "\n"


def _lines(title: str, base: str | None, lineage: Lineage | None) -> Iterator[str]:
    yield f"\n# {title}\n"
    yield "Fine-tuned and exported with Everloop.\n"
    yield "| | |\n| --- | --- |"
    if base:
        yield f"| base model | `{base}` |"
    if lineage is None:
        return
    licence = lineage.licence or "not known; look it up before you publish this"
    yield f"| licence of the base | {licence} |"
    yield f"| adapter | `{lineage.adapter}`, {lineage.method} of rank {lineage.rank} |"
    yield f"| SHA-256 of the adapter's weights | `{lineage.adapter_sha256}` |"
    yield f"| merged weights | {lineage.dtype} |"
    if lineage.metrics:
        yield "\n## Metrics\n"
        yield "| metric | value |\n| --- | --- |"
        for name, value in sorted(lineage.metrics.items()):
            yield f"| {name} | {value:.6g} |"


def _base_of(folder: Path) -> str | None:
    try:
        base = json.loads((folder / ADAPTER_CONFIG).read_text())["base_model_name_or_path"]
    except (OSError, ValueError, KeyError):
        return None
    # A path says something about the machine that trained, and nothing to who reads the card.
    return base if isinstance(base, str) and not base.startswith(("/", ".", "~")) else None


def _holds_gguf(path: Path) -> bool:
    return path.suffix == ".gguf" or (path.is_dir() and any(path.glob("*.gguf")))
