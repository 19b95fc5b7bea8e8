"""A YAML file that a person wrote: a mapping, or an error that names the file and what it holds."""

from pathlib import Path
from typing import Any

import yaml

from cluster.errors import EverloopError

__all__ = ["read_mapping"]


def read_mapping(
    path: Path, what: str, error: type[EverloopError], *, fix: str = ""
) -> dict[str, Any]:
    """Read the mapping; one of nothing at all is empty. `what` it is begins each message.

    Raises `error` where the file cannot be read, is not YAML or holds something else.
    """
    try:
        loaded = yaml.safe_load(path.read_text(encoding="utf-8"))
    except OSError as cause:
        raise error(f"{what} {path} cannot be read: {cause.strerror}.", fix=fix) from cause
    except (UnicodeDecodeError, yaml.YAMLError) as cause:
        raise error(f"{what} {path} is not YAML: {cause}.", fix=fix) from cause
    if loaded is None:
        return {}
    if not isinstance(loaded, dict):
        raise error(f"{what} {path} holds a {type(loaded).__name__}, not a mapping.", fix=fix)
    return loaded
