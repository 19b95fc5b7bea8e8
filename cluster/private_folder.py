"""Folders that hold records, bytes and secrets: for their owner only."""

from pathlib import Path
from typing import Final

__all__ = ["is_open_to_others", "make_private_folder"]

_OWNER: Final = 0o700
_OTHERS: Final = 0o007


def make_private_folder(folder: Path) -> None:
    """Make `folder`, where it is missing, for its owner only. Raises OSError.

    One that is there stays as it is: it may be shared on purpose.
    """
    folder.parent.mkdir(parents=True, exist_ok=True)
    folder.mkdir(mode=_OWNER, exist_ok=True)


def is_open_to_others(folder: Path) -> bool:
    """Whether every user of the machine may look into it. Raises OSError."""
    return bool(folder.stat().st_mode & _OTHERS)
