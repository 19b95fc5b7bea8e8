"""A run between two steps, on disk, in terms that do not know how many workers there are.

    state.json             step, cursor, best validation, what the run trains on, and the file list
    weights.safetensors    trained weights by name
    optimizer.safetensors  AdamW's moments, as `exp_avg/NAME` and `exp_avg_sq/NAME`
    best.safetensors       trained weights at the best validation (early stopping only)
    adapter/               the adapter to serve, in peft's format: the best one, else the last

There is no scheduler and no generator state: learning rate and randomness follow from the step.
A checkpoint is written beside its place and renamed when whole, and lists each file's SHA-256.
"""

import json
import os
import shutil
import tempfile
from collections.abc import Mapping
from dataclasses import asdict
from hashlib import sha256
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from training.cursor import DataCursor
from training.errors import CheckpointError
from training.loop import LoopState, TrainingLoop

if TYPE_CHECKING:
    import torch

__all__ = ["export_checkpoint", "is_whole", "read_checkpoint", "write_checkpoint"]

_FORMAT: Final = 1
_STATE: Final = "state.json"
_WEIGHTS: Final = "weights.safetensors"
_OPTIMIZER: Final = "optimizer.safetensors"
_BEST: Final = "best.safetensors"
_ADAPTER: Final = "adapter"


def write_checkpoint(loop: TrainingLoop, folder: Path, fingerprint: Mapping[str, Any]) -> None:
    """Write `folder`, which must not exist; it appears whole or not at all.

    `fingerprint` is what a run that goes on from here must agree with. Every worker calls this,
    because each may hold a part of what is written; the first one writes.
    """
    from safetensors.torch import save_file

    weights, moments = loop.engine.weights(), loop.engine.moments()
    if loop.rank != 0:
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.part-", dir=folder.parent))
    try:
        save_file(_plain(weights), work / _WEIGHTS)
        save_file(_plain(moments), work / _OPTIMIZER)
        if loop.best is not None:
            save_file(_plain(loop.best), work / _BEST)
        if hasattr(loop.model, "peft_config"):
            _save_adapter(loop, weights, work / _ADAPTER)
        state = {
            "format": _FORMAT,
            "state": asdict(loop.state),
            "run": dict(fingerprint),
            "files": _files(work),
        }
        _write(work / _STATE, json.dumps(state, indent=1).encode())
        work.chmod(0o755)
        work.rename(folder)
        _sync(folder.parent)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def read_checkpoint(loop: TrainingLoop, folder: Path, fingerprint: Mapping[str, Any]) -> None:
    """Bring `loop` to where `write_checkpoint` found the other one. For every worker.

    Raises CheckpointError when a file is missing or changed, or when the run is another one.
    """
    from safetensors.torch import load_file

    written = _state(folder)
    for key, value in fingerprint.items():
        if (was := written["run"].get(key)) != value:
            raise CheckpointError(
                f"The checkpoint {folder} was made with {key} = {was!r}, not {value!r}.",
                fix="Go on with the settings it was made with, or start a run of another name.",
            )
    weights = load_file(folder / _WEIGHTS)
    if weights.keys() != loop.engine.trained.keys():
        other = sorted(weights.keys() ^ loop.engine.trained.keys())
        raise CheckpointError(f"The checkpoint {folder} is of another model: {other[0]} differs.")
    loop.engine.put(weights)
    loop.engine.restore(load_file(folder / _OPTIMIZER), written["state"]["step"])
    if (folder / _BEST).is_file():
        loop.best = load_file(folder / _BEST)
    values = written["state"]
    loop.state = LoopState(**{**values, "cursor": DataCursor(**values["cursor"])})


def _save_adapter(loop: TrainingLoop, weights: "Mapping[str, torch.Tensor]", folder: Path) -> None:
    best = dict(weights if loop.best is None else loop.best)
    loop.model.save_pretrained(folder, state_dict=best, save_embedding_layers=False)
    (folder / "README.md").unlink(missing_ok=True)  # a model card that only says it is empty


def export_checkpoint(checkpoint: Path, folder: Path, *, base: str, base_folder: Path) -> None:
    """What is served: the adapter in peft's format, or the whole model with its tokenizer.

    `base` is what the adapter's config names as its base model. An older `folder` is replaced.
    """
    _state(checkpoint)
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=f".{folder.name}.part-", dir=folder.parent))
    try:
        if (checkpoint / _ADAPTER).is_dir():
            shutil.copytree(checkpoint / _ADAPTER, work, dirs_exist_ok=True)
            config = json.loads((work / "adapter_config.json").read_text())
            config["base_model_name_or_path"] = base
            _write(work / "adapter_config.json", json.dumps(config, indent=1).encode())
        else:
            _export_model(checkpoint, work, base_folder)
        work.chmod(0o755)
        shutil.rmtree(folder, ignore_errors=True)
        work.rename(folder)
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _export_model(checkpoint: Path, folder: Path, base_folder: Path) -> None:
    from safetensors.torch import load_file
    from transformers import AutoModelForCausalLM, AutoTokenizer

    best = checkpoint / _BEST
    model = AutoModelForCausalLM.from_pretrained(
        base_folder, local_files_only=True, use_safetensors=True
    )
    weights = load_file(best if best.is_file() else checkpoint / _WEIGHTS)
    for name, parameter in model.named_parameters():
        parameter.data.copy_(weights[name])
    model.save_pretrained(folder)
    AutoTokenizer.from_pretrained(base_folder, local_files_only=True).save_pretrained(folder)


def is_whole(folder: Path) -> bool:
    """Whether `folder` is a checkpoint with every byte that was written."""
    try:
        _state(folder)
    except (CheckpointError, OSError):
        return False
    return True


def _state(folder: Path) -> dict[str, Any]:
    try:
        written: dict[str, Any] = json.loads((folder / _STATE).read_text())
    except (OSError, ValueError) as error:
        raise CheckpointError(f"{folder} is no checkpoint: {_STATE} cannot be read.") from error
    if written.get("format") != _FORMAT:
        raise CheckpointError(
            f"The checkpoint {folder} has format {written.get('format')!r}, not {_FORMAT}.",
            fix="Go on with the release that wrote it.",
        )
    found = _files(folder)
    for name, digest in written["files"].items():
        if found.get(name) != digest:
            what = "is missing" if name not in found else "is not what was written"
            raise CheckpointError(
                f"In the checkpoint {folder}, {name} {what}.", fix="Go on from an earlier one."
            )
    return written


def _plain(tensors: Mapping[str, "torch.Tensor"]) -> dict[str, "torch.Tensor"]:
    return {name: tensor.detach().cpu().contiguous() for name, tensor in tensors.items()}


def _files(folder: Path) -> dict[str, str]:
    """SHA-256 of every file but the list itself, by path; flushed to disk on the way."""
    found = {}
    for path in sorted(folder.rglob("*")):
        name = path.relative_to(folder).as_posix()
        if path.is_file() and name != _STATE and not name.startswith("."):
            with path.open("rb") as opened:
                os.fsync(opened.fileno())
                digest = sha256()
                while block := opened.read(1 << 20):
                    digest.update(block)
            found[name] = digest.hexdigest()
    return found


def _write(path: Path, content: bytes) -> None:
    with path.open("wb") as opened:
        opened.write(content)
        opened.flush()
        os.fsync(opened.fileno())


def _sync(folder: Path) -> None:
    """Make a rename in `folder` last."""
    descriptor = os.open(folder, os.O_RDONLY)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)
