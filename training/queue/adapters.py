"""From a run's checkpoints to adapter versions in the registry."""

import json
import logging
import shutil
from dataclasses import dataclass, field
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

from cluster.adapters import AdapterFiles, store_adapter
from cluster.errors import EverloopError
from cluster.ids import new_id
from cluster.manifest import sha256_of
from cluster.records import Adapter, FineTuningCheckpoint, now
from cluster.storage import ByteStore
from training.checkpoint import export_checkpoint, is_whole
from training.in_process import kept_checkpoints
from training.recording import read_metrics
from training.trainer import reported_checkpoints

__all__ = ["AdapterSource", "CheckpointShelf", "base_revision", "came_to"]

_log = logging.getLogger(__name__)
_OF_A_MODEL: Final = (".safetensors", ".json", ".jinja", ".model", ".bin")


@dataclass(frozen=True, slots=True)
class AdapterSource:
    """What every adapter of a run has in common."""

    job_id: str
    project_id: str
    base: str
    """Id of the served model."""
    source: str
    """Where that model comes from."""
    base_folder: Path
    base_revision: str
    kind: str
    suffix: str | None
    lineage: dict[str, Any] = field(default_factory=dict)


class CheckpointShelf:
    """Registers each checkpoint of a run once, as a version that can be asked for by its id."""

    def __init__(self, store: ByteStore, folder: Path, source: AdapterSource) -> None:
        self._store = store
        self._folder = folder
        self._source = source
        self._seen: set[Path] = set()
        self._waited: set[Path] = set()

    def look(self) -> list[Any]:
        """Records of checkpoints that have come since the last look, whole ones only."""
        found: list[Any] = []
        for place in (*reported_checkpoints(self._folder), *kept_checkpoints(self._folder)):
            if place in self._seen:
                continue
            try:
                if not self._metrics(_state(place)["step"]) and place not in self._waited:
                    self._waited.add(place)  # its step's news are a moment behind
                    continue
                found += self.records(place)
            except (EverloopError, OSError, ValueError) as error:
                # Still being copied, or already dropped for a newer one.
                _log.debug("The checkpoint %s is not registered: %s", place, error)
                continue
            self._seen.add(place)
        return found

    def records(self, checkpoint: Path) -> list[Any]:
        """The checkpoint's adapter and its place in the job. Raises where it is not whole."""
        state = _state(checkpoint)
        work = self._folder / f".adapter-{new_id('part')}"
        try:
            export_checkpoint(
                checkpoint,
                work,
                base=self._source.source,
                base_folder=self._source.base_folder,
            )
            files = store_adapter(
                self._store,
                work,
                base=self._source.base,
                suffix=self._source.suffix,
                project=self._source.project_id,
            )
        finally:
            shutil.rmtree(work, ignore_errors=True)
        step = int(state["step"])
        told = {"step": step, "tokens": state["tokens"], **self._metrics(step)}
        if state.get("best_loss") is not None:
            told |= {"best_valid_loss": state["best_loss"], "best_step": state["best_step"]}
        digest = sha256(f"{self._source.job_id}/{step}".encode()).hexdigest()[:24]
        return [
            self._adapter(files, told),
            FineTuningCheckpoint(
                id=f"ftckpt_{step:010d}{digest}",  # lists are ordered by it
                job_id=self._source.job_id,
                adapter_id=files.id,
                step=step,
                metrics=told,
                created_at=now(),
            ),
        ]

    def _metrics(self, step: int) -> dict[str, float]:
        """What the run told of the step, by OpenAI's names."""
        path = self._folder / "metrics.jsonl"
        if not path.is_file():
            return {}
        steps, validations = read_metrics(path)
        told: dict[str, float] = {}
        for done in (item for item in steps if item.step == step):
            told |= {"train_loss": done.loss, "train_mean_token_accuracy": done.accuracy}
        for seen in (item for item in validations if item.step == step):
            told |= {
                "full_valid_loss": seen.loss,
                "full_valid_mean_token_accuracy": seen.accuracy,
            }
        return told

    def _adapter(self, files: AdapterFiles, metrics: dict[str, Any]) -> Adapter:
        return Adapter(
            id=files.id,
            number=new_id("adapter"),
            base=self._source.base,
            base_revision=self._source.base_revision,
            kind=self._source.kind,
            files=files.as_json(),
            bytes=files.bytes,
            lineage={**self._source.lineage, "job": self._source.job_id, "step": metrics["step"]},
            metrics=metrics,
            created_at=now(),
        )


def came_to(folder: Path, step: int) -> bool:
    """Whether the run in `folder` has a whole checkpoint of `step` or later."""
    for place in (*reported_checkpoints(folder), *kept_checkpoints(folder)):
        try:
            there = int(_state(place)["step"])
        except (OSError, ValueError):  # still being copied, or already dropped for a newer one
            continue
        if there >= step and is_whole(place):
            return True
    return False


def _state(checkpoint: Path) -> dict[str, Any]:
    state: dict[str, Any] = json.loads((checkpoint / "state.json").read_text())["state"]
    return state


def base_revision(folder: Path) -> str:
    """Digest of what makes a model: its weights, configuration, tokenizer and template."""
    digest = sha256()
    for path in sorted(folder.iterdir()):
        if path.suffix in _OF_A_MODEL and not path.name.startswith("everloop-"):
            digest.update(f"{path.name}\0{sha256_of(path)}\n".encode())
    return digest.hexdigest()
