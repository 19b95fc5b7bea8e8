"""One export from beginning to end: find, merge, convert, push."""

import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Literal

from cluster.models import ensure_model
from training.errors import ExportError
from training.export.gguf_file import Quantization, write_gguf
from training.export.hub import parse_target, pull, push
from training.export.lineage import Lineage, read_lineage
from training.export.merged import Dtype, merge_adapter
from training.export.source import ADAPTER_CONFIG, Adapter, resolve_adapter
from training.export.target import check_free

__all__ = ["ExportPlan", "Exported", "run_export"]

Report = Callable[[str], None]


@dataclass(frozen=True, slots=True)
class ExportPlan:
    """What is asked for."""

    what: str
    """Folder, id or hub URL of an adapter; or, for GGUF, the folder of a whole model."""
    form: Literal["hf", "gguf"]
    target: Path
    dtype: Dtype = "float32"
    """Of a merged folder's weights."""
    quantization: Quantization = "f16"
    """Of a GGUF file's."""
    base: str | None = None
    """Source of the base model, where the adapter does not name it rightly."""
    force: bool = False
    push_to: str | None = None
    """OWNER/NAME, or a hub's URL ending in it."""
    private: bool = True
    token: str | None = None
    """For the hub that `what` or `push_to` names by URL."""


@dataclass(frozen=True, slots=True)
class Exported:
    """What was done."""

    name: str
    base: str | None
    form: str
    path: str
    bytes: int
    seconds: float
    pushed: str | None
    """URL of the commit."""


def run_export(plan: ExportPlan, cache_dir: Path, report: Report = lambda _step: None) -> Exported:
    """Do what `plan` says. What can be refused is refused before any weight is read.

    Raises ExportError, HubError or ModelSourceError. An export that could not be pushed stays.
    """
    began = time.monotonic()
    check_free(plan.target, force=plan.force)
    if plan.push_to is not None:
        parse_target(plan.push_to)
    with _found(plan, report) as source:
        if isinstance(source, Path):
            name, lineage = source.name, read_lineage(source)
            _to_gguf(plan, source, name, report)
        else:
            name, lineage = source.name, _from_adapter(plan, source, cache_dir, report)
    commit = None
    if plan.push_to is not None:
        report(f"pushing to {plan.push_to}")
        commit = push(
            plan.target, plan.push_to, token=plan.token, private=plan.private, lineage=lineage
        )
    return Exported(
        name=name,
        base=lineage.base if lineage else None,
        form=plan.form,
        path=str(plan.target),
        bytes=_size(plan.target),
        seconds=round(time.monotonic() - began, 2),
        pushed=commit,
    )


@contextmanager
def _found(plan: ExportPlan, report: Report) -> Iterator[Adapter | Path]:
    """The adapter, or the folder of a whole model."""
    if "://" in plan.what:
        with tempfile.TemporaryDirectory(prefix="everloop-") as work:
            report(f"fetching {plan.what}")
            pulled = pull(plan.what, Path(work) / "pulled", token=plan.token)
            found = resolve_adapter(str(pulled))
            name = parse_target(plan.what).repo.rpartition("/")[2]
            yield Adapter(name, found.folder, found.base_source, found.metrics)
        return
    folder = Path(plan.what).expanduser()
    if (folder / "config.json").is_file() and not (folder / ADAPTER_CONFIG).is_file():
        if plan.form == "hf":
            raise ExportError(
                f"{folder} is a whole model already.", fix="Export it with --to gguf, or use it."
            )
        yield folder.absolute()
        return
    yield resolve_adapter(plan.what)


def _from_adapter(plan: ExportPlan, adapter: Adapter, cache_dir: Path, report: Report) -> Lineage:
    base = plan.base or adapter.base_source
    if not base:
        raise ExportError(
            f"The adapter {adapter.name} does not say which base it was trained on.",
            fix="Give --base the folder, packaged name or hub id of that model.",
        )
    adapter = Adapter(adapter.name, adapter.folder, base, adapter.metrics)
    folder = ensure_model(base, cache_dir, progress=report)
    if plan.form == "hf":
        return merge_adapter(
            adapter, folder, plan.target, dtype=plan.dtype, force=plan.force, report=report
        )
    plan.target.parent.mkdir(parents=True, exist_ok=True)
    # Beside the target: the whole model may not fit where temporary files go.
    with tempfile.TemporaryDirectory(prefix=".merged-", dir=plan.target.parent) as work:
        lineage = merge_adapter(adapter, folder, Path(work) / "merged", report=report)
        _to_gguf(plan, Path(work) / "merged", adapter.name, report)
    return lineage


def _to_gguf(plan: ExportPlan, folder: Path, name: str, report: Report) -> None:
    write_gguf(
        folder,
        plan.target,
        name=name,
        quantization=plan.quantization,
        force=plan.force,
        report=report,
    )


def _size(path: Path) -> int:
    files = path.rglob("*") if path.is_dir() else [path]
    return sum(file.stat().st_size for file in files if file.is_file())
