"""What is exported: the folder of an adapter, and the base model that it sits on."""

import hashlib
import json
from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final

from cluster.adapters import ADAPTER_PREFIX, AdapterFile, bring_adapter
from cluster.client import openai_client, translated_errors
from cluster.settings import load_settings
from training.errors import ExportError

__all__ = ["ADAPTER_CONFIG", "ADAPTER_WEIGHTS", "Adapter", "read_adapter_config", "resolve_adapter"]

ADAPTER_CONFIG: Final = "adapter_config.json"
ADAPTER_WEIGHTS: Final = "adapter_model.safetensors"


@dataclass(frozen=True, slots=True)
class Adapter:
    """An adapter in peft's format on this machine."""

    name: str
    folder: Path
    base_source: str
    """As `cluster.models.ensure_model` takes it."""
    metrics: Mapping[str, float] = field(default_factory=dict)


def resolve_adapter(name: str) -> Adapter:
    """Find the adapter that `name` means: a folder, or the id of a registered one.

    Raises ExportError for anything else, and StorageError where a registered one comes with other
    bytes than it should have.
    """
    folder = Path(name).expanduser()
    if folder.is_dir() or name.startswith(("/", ".", "~")):
        base = read_adapter_config(folder)["base_model_name_or_path"]
        name, metrics = _of_run(folder.absolute())
        return Adapter(name, folder.absolute(), str(base or ""), metrics)
    return _registered(name)


def _of_run(folder: Path) -> tuple[str, dict[str, float]]:
    """Name and metrics of the training run that left `folder`, as its report has them."""
    try:
        report = json.loads((folder.parent / "report.json").read_text())
        if Path(report["weights"]).name != folder.name:
            return folder.name, {}
        loss = report["best_validation_loss"]
        return str(report["name"]), {} if loss is None else {"validation_loss": float(loss)}
    except (OSError, ValueError, KeyError, TypeError):
        return folder.name, {}


def _registered(name: str) -> Adapter:
    """Fetch a registered adapter from the running service into the cache folder, once."""
    from openai import HttpxBinaryResponseContent

    settings = load_settings()
    url = settings.base_url
    if not name.startswith(ADAPTER_PREFIX):
        raise ExportError(
            f"There is no adapter {name!r}.",
            fix="Give an adapter's folder, or its id as `everloop adapters` lists it.",
        )
    with translated_errors(url), openai_client(url) as client:
        found: Any = client.get(f"/adapters/{name}", cast_to=object)
        folder = settings.cache_dir / "adapters" / _digest_of(found)

        def read(file: str) -> Iterator[bytes]:
            path = f"/adapters/{name}/files/{file}"
            return client.get(path, cast_to=HttpxBinaryResponseContent).iter_bytes()

        bring_adapter([AdapterFile(**file) for file in found["files"]], folder, read, name)
    base = found["lineage"].get("settings", {}).get("model") or found["base_model"]
    metrics = {k: v for k, v in found["metrics"].items() if isinstance(v, int | float)}
    return Adapter(name, folder, str(base), metrics)


def _digest_of(found: dict[str, Any]) -> str:
    digests = "".join(file["sha256"] for file in found["files"])
    return hashlib.sha256(digests.encode()).hexdigest()[:32]


def read_adapter_config(folder: Path) -> dict[str, Any]:
    """Return peft's description of the adapter in `folder`. Raises ExportError when it is none."""
    if not folder.is_dir():
        raise ExportError(
            f"The adapter folder {folder} does not exist.", fix="Correct the path of the adapter."
        )
    missing = [n for n in (ADAPTER_CONFIG, ADAPTER_WEIGHTS) if not (folder / n).is_file()]
    if missing:
        raise ExportError(
            f"{folder} is no adapter: {' and '.join(missing)} missing.",
            fix="Give a folder in peft's format, such as runs/NAME/adapter of a training run.",
        )
    try:
        config: dict[str, Any] = json.loads((folder / ADAPTER_CONFIG).read_text())
        kind = config["peft_type"]
        config.setdefault("base_model_name_or_path", None)
    except (OSError, ValueError, KeyError, AttributeError, TypeError) as error:
        raise ExportError(f"{folder / ADAPTER_CONFIG} cannot be read: {error!r}.") from error
    if kind != "LORA":
        raise ExportError(
            f"The adapter {folder} is of type {kind}, which cannot be merged into its base.",
            fix="LoRA, rsLoRA, DoRA and QLoRA adapters can.",
        )
    return config
