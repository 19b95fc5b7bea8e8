"""The environment of a job, handed over in a file that only its owner reads.

Ray shows a job's variables to everybody who sees its dashboard, and settings hold passwords.
"""

import hashlib
import json
import os
from collections.abc import Mapping
from pathlib import Path
from typing import Final

from cluster.errors import SettingsError

__all__ = ["HANDED_VARIABLE", "hand_over", "take_over"]

HANDED_VARIABLE: Final = "EVERLOOP_HANDED_ENVIRONMENT"
_FOLDER: Final = ".environments"
_KEPT: Final = 8
"""Files of earlier environments that stay for jobs that have still to read them."""


def hand_over(folder: Path, environment: Mapping[str, str]) -> dict[str, str]:
    """Write `environment` below `folder`, which the job's machine has too.

    Returns the variables to give the job: the name of the file. Raises SettingsError.
    """
    text = json.dumps(dict(environment), sort_keys=True)
    place = folder / _FOLDER
    path = place / f"{hashlib.sha256(text.encode()).hexdigest()[:24]}.json"
    try:
        place.mkdir(mode=0o700, parents=True, exist_ok=True)
        part = path.with_suffix(f".{os.getpid()}.part")
        descriptor = os.open(part, os.O_WRONLY | os.O_CREAT | os.O_TRUNC, 0o600)
        with os.fdopen(descriptor, "w") as file:
            file.write(text)
        part.replace(path)
        earlier = sorted(place.glob("*.json"), key=lambda one: -one.stat().st_mtime)
        for one in earlier[_KEPT:]:
            one.unlink(missing_ok=True)
    except OSError as error:
        raise SettingsError(
            f"The job's environment cannot be written to {place}: {error.strerror}.",
            fix="Make `training.folder` writable.",
        ) from error
    return {HANDED_VARIABLE: str(path)}


def take_over() -> None:
    """Put what was handed over into this process's environment, where something was.

    Raises SettingsError where the file cannot be read.
    """
    name = os.environ.pop(HANDED_VARIABLE, None)
    if name is None:
        return
    try:
        handed: dict[str, str] = json.loads(Path(name).read_text())
    except (OSError, ValueError) as error:
        raise SettingsError(
            f"The job's environment {name} cannot be read: {error}.",
            fix="`training.folder` must be on a disk that every machine of the cluster has.",
        ) from error
    os.environ.update(handed)
