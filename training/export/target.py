"""Where an export goes: it appears whole or not at all, and takes no one's place unasked."""

import shutil
import tempfile
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

from training.errors import ExportError

__all__ = ["check_free", "new_file", "new_folder"]


def check_free(target: Path, *, force: bool = False) -> None:
    """Raise ExportError when `target` is taken, or when `force` would delete what is no export."""
    if not target.exists() and not target.is_symlink():
        return
    if not force:
        raise ExportError(
            f"{target} is there already.", fix="Give another --out, or --force to replace it."
        )
    if target.is_dir() and any(target.iterdir()) and not _is_model(target):
        raise ExportError(
            f"{target} is a folder that holds no model, so it is not replaced.",
            fix="Give another --out; --force replaces exports only.",
        )


@contextmanager
def new_folder(target: Path, *, force: bool = False) -> Iterator[Path]:
    """Give an empty folder to write to, which becomes `target` when the block ends well."""
    check_free(target, force=force)
    with _work_folder(target) as work:
        made = work / "made"
        made.mkdir()
        yield made
        for path in made.rglob("*"):
            path.chmod(0o755 if path.is_dir() else 0o644)
        check_free(target, force=force)
        if target.exists():
            target.rename(work / "replaced")
        made.rename(target)


@contextmanager
def new_file(target: Path, *, force: bool = False) -> Iterator[Path]:
    """Give a path to write to, which becomes `target` when the block ends well."""
    check_free(target, force=force)
    if target.is_dir():
        raise ExportError(f"{target} is a folder.", fix="Give the name of a file as --out.")
    with _work_folder(target) as work:
        made = work / target.name
        yield made
        made.chmod(0o644)
        check_free(target, force=force)
        made.replace(target)


@contextmanager
def _work_folder(target: Path) -> Iterator[Path]:
    """A folder beside `target`, so that a rename stays on one file system; gone afterwards."""
    try:
        target.parent.mkdir(parents=True, exist_ok=True)
        work = Path(tempfile.mkdtemp(prefix=f".{target.name}.part-", dir=target.parent))
    except OSError as error:
        raise ExportError(
            f"Nothing can be written beside {target}: {error}.", fix="Give another --out."
        ) from error
    try:
        yield work
    finally:
        shutil.rmtree(work, ignore_errors=True)


def _is_model(folder: Path) -> bool:
    return any((folder / name).is_file() for name in ("config.json", "adapter_config.json"))
