"""The installation's secret, which signs tokens: from the environment, or made once on disk.

Each kind of token is signed with a salt of its own, so that none passes for another.
"""

import contextlib
import os
import secrets
import tempfile
from pathlib import Path
from typing import Final

from cluster.errors import SettingsError
from cluster.private_folder import make_private_folder
from cluster.settings import Settings

__all__ = ["installation_secret"]

_FILE: Final = "secret.key"
_SHORTEST: Final = 16


def installation_secret(settings: Settings) -> bytes:
    """The same for every replica that shares the variable, or the data folder.

    Raises SettingsError for one of under 16 characters, or a folder that cannot be written.
    """
    variable = settings.access.secret_env
    given = os.environ.get(variable)
    if given:
        if len(given) < _SHORTEST:
            raise SettingsError(
                f"{variable} has {len(given)} characters; a secret has at least {_SHORTEST}.",
                fix="Such as `openssl rand -hex 32` makes.",
            )
        return given.encode()
    path = settings.data_dir / _FILE
    try:
        return _read(path) or _make(path)
    except OSError as error:
        raise SettingsError(
            f"The secret {path} cannot be read or made: {error.strerror}.",
            fix=f"Set {variable}, or make the data folder writable.",
        ) from error


def _read(path: Path) -> bytes:
    try:
        return path.read_bytes()
    except FileNotFoundError:
        return b""


def _make(path: Path) -> bytes:
    """Whole or not at all, and once: who comes second reads what the first one made."""
    make_private_folder(path.parent)
    descriptor, made = tempfile.mkstemp(dir=path.parent, prefix=f".{_FILE}-")  # 0600
    try:
        with os.fdopen(descriptor, "wb") as file:
            file.write(secrets.token_hex(32).encode())
            file.flush()
            os.fsync(file.fileno())
        with contextlib.suppress(FileExistsError):
            os.link(made, path)
    finally:
        Path(made).unlink()
    return path.read_bytes()
