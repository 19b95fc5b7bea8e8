"""The key of this machine's Everloop, in `data_dir/env`: for `openai`, our commands, a shell."""

import os
import re
import shlex
import tempfile
from dataclasses import dataclass
from pathlib import Path
from typing import Final

from cluster.errors import SettingsError
from cluster.private_folder import make_private_folder

__all__ = ["KeyFile", "key_file_path", "read_key_file", "write_key_file"]

_LINE: Final = re.compile(r"(?:export\s+)?([A-Z_]+)=(.*)")


@dataclass(frozen=True)
class KeyFile:
    """What stands in it."""

    base_url: str
    """The address that the key was made for. It is sent nowhere else."""
    key: str


def key_file_path(data_dir: Path) -> Path:
    """Where it stands."""
    return data_dir / "env"


def read_key_file(data_dir: Path) -> KeyFile | None:
    """What stands in it; None where there is none, or it says something else.

    Raises SettingsError where it may not be read.
    """
    path = key_file_path(data_dir)
    try:
        text = path.read_text()
    except FileNotFoundError:
        return None
    except (OSError, UnicodeDecodeError) as error:
        raise SettingsError(
            f"The key file {path} cannot be read: {error}.",
            fix="Set EVERLOOP_API_KEY, or ask whoever runs this Everloop for a key.",
        ) from error
    found: dict[str, str] = {}
    for line in text.splitlines():
        if match := _LINE.fullmatch(line.strip()):
            try:
                found[match[1]] = "".join(shlex.split(match[2]))
            except ValueError:  # a quote that is not closed
                return None
    base_url, key = found.get("OPENAI_BASE_URL"), found.get("EVERLOOP_API_KEY")
    return KeyFile(base_url, key) if base_url and key else None


def write_key_file(data_dir: Path, content: KeyFile) -> Path:
    """Write it, whole or not at all, for its owner's eyes only; where it stands.

    Raises SettingsError where it cannot be written.
    """
    path = key_file_path(data_dir)
    url, key = shlex.quote(content.base_url), shlex.quote(content.key)
    text = (
        f"export OPENAI_BASE_URL={url}\n"
        f"export OPENAI_API_KEY={key}\n"
        f"export EVERLOOP_API_KEY={key}\n"
    )
    try:
        make_private_folder(data_dir)
        _write(path, text)
    except OSError as error:
        raise SettingsError(
            f"The key file {path} cannot be written: {error.strerror}.",
            fix="Make room in the data folder, or let it be written.",
        ) from error
    return path


def _write(path: Path, text: str) -> None:
    descriptor, made = tempfile.mkstemp(dir=path.parent, prefix=".env-")  # 0600
    try:
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
            file.flush()
            os.fsync(file.fileno())
        Path(made).replace(path)
    finally:
        Path(made).unlink(missing_ok=True)
