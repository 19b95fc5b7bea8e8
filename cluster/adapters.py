"""An adapter's files: their list, which names it, and the way into and out of the byte store.

An adapter version is immutable. Its id follows from its bytes, so the same id is the same weights
on every replica, and other weights have another id.
"""

import hashlib
import json
import shutil
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import Any, Final

from cluster.errors import StorageError
from cluster.ids import content_id
from cluster.storage import CHUNK_BYTES, ByteStore

__all__ = [
    "ADAPTER_PREFIX",
    "SERVED_KINDS",
    "AdapterFile",
    "AdapterFiles",
    "adapter_name",
    "bring_adapter",
    "fetch_adapter",
    "store_adapter",
]

ADAPTER_PREFIX: Final = "ft:"
"""What the id of every adapter version begins with, and no model's or alias's name may."""

SERVED_KINDS: Final = ("lora", "rslora", "qlora")
"""Kinds of adapters that vLLM answers by, beside their base model."""

_CONFIG: Final = "adapter_config.json"
_WEIGHTS: Final = "adapter_model.safetensors"
_DIGITS: Final = 12


@dataclass(frozen=True, slots=True)
class AdapterFile:
    """One file of an adapter."""

    name: str
    bytes: int
    sha256: str


@dataclass(frozen=True, slots=True)
class AdapterFiles:
    """The files of one adapter version in the byte store. Crosses processes."""

    id: str
    """`ft:BASE:SUFFIX:DIGEST`, or `ft:BASE:DIGEST`: what clients call it by."""
    prefix: str
    """Storage key before the file names, without the slash."""
    rank: int
    files: tuple[AdapterFile, ...]

    @property
    def bytes(self) -> int:
        """Of all files."""
        return sum(file.bytes for file in self.files)

    def as_json(self) -> dict[str, Any]:
        """For a record."""
        return asdict(self) | {"files": [asdict(file) for file in self.files]}

    @classmethod
    def of_json(cls, value: dict[str, Any]) -> "AdapterFiles":
        """From a record."""
        return cls(**{**value, "files": tuple(AdapterFile(**file) for file in value["files"])})


def adapter_name(base: str, suffix: str | None, digest: str) -> str:
    """The id of an adapter on the served model `base`, whose files have this SHA-256 digest."""
    return ":".join(["ft", base, *([suffix] if suffix else []), digest[:_DIGITS]])


def store_adapter(
    store: ByteStore, folder: Path, *, base: str, suffix: str | None, project: str
) -> AdapterFiles:
    """Copy an adapter in peft's format into the store; storing the same one again changes nothing.

    Raises StorageError, also where `folder` holds no adapter.
    """
    config = _config(folder)
    files = tuple(_described(folder / name) for name in (_CONFIG, _WEIGHTS))
    parts = [part for file in files for part in (file.name, file.sha256)]
    digest = content_id("adapter", project, base, *parts).removeprefix("adapter_")
    prefix = f"{project}/adapters/{digest}"
    for file in files:
        if not store.exists(f"{prefix}/{file.name}"):
            store.put(f"{prefix}/{file.name}", _pieces(folder / file.name))
    return AdapterFiles(adapter_name(base, suffix, digest), prefix, int(config["r"]), files)


def fetch_adapter(store: ByteStore, adapter: AdapterFiles, folder: Path) -> None:
    """Bring an adapter's files into `folder`, which appears whole or not at all.

    A `folder` that is there already is left as it is. Every file is checked against its digest.
    Raises StorageError where a file is missing or is not the one that was stored.
    """

    def read(name: str) -> Iterator[bytes]:
        return store.chunks(f"{adapter.prefix}/{name}")

    bring_adapter(adapter.files, folder, read, f"{store.url}/{adapter.prefix}")


def bring_adapter(
    files: Sequence[AdapterFile],
    folder: Path,
    read: Callable[[str], Iterable[bytes]],
    origin: str,
) -> None:
    """As `fetch_adapter`, from wherever `read` gives a file's bytes by its name.

    `origin` says where that is, in errors.
    """
    if folder.is_dir():
        return
    folder.parent.mkdir(parents=True, exist_ok=True)
    work = Path(tempfile.mkdtemp(prefix=".adapter-", dir=folder.parent))
    try:
        for file in files:
            _write_checked(file, read(file.name), work, origin)
        work.chmod(0o755)
        try:
            work.rename(folder)
        except OSError:
            if not folder.is_dir():  # else another process was faster, with the same bytes
                raise
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _write_checked(wanted: AdapterFile, pieces: Iterable[bytes], folder: Path, origin: str) -> None:
    digest = hashlib.sha256()
    with (folder / wanted.name).open("wb") as file:
        for piece in pieces:
            digest.update(piece)
            file.write(piece)
    if digest.hexdigest() != wanted.sha256:
        raise StorageError(
            f"{wanted.name} of {origin} is not what was stored there: its SHA-256 is "
            f"{digest.hexdigest()}, not {wanted.sha256}.",
            fix="Restore the object, or train the adapter again.",
        )


def _config(folder: Path) -> dict[str, Any]:
    try:
        config: dict[str, Any] = json.loads((folder / _CONFIG).read_text())
    except (OSError, ValueError) as error:
        raise StorageError(f"{folder} holds no adapter in peft's format: {error}.") from error
    if not isinstance(config.get("r"), int) or not (folder / _WEIGHTS).is_file():
        raise StorageError(f"{folder} holds no LoRA adapter: it lacks a rank or {_WEIGHTS}.")
    return config


def _described(path: Path) -> AdapterFile:
    digest, size = hashlib.sha256(), 0
    for piece in _pieces(path):
        digest.update(piece)
        size += len(piece)
    return AdapterFile(path.name, size, digest.hexdigest())


def _pieces(path: Path) -> Iterator[bytes]:
    with path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            yield piece
