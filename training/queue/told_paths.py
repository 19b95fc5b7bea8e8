"""Paths of this machine in what its users are told."""

from cluster.settings import Settings

__all__ = ["told_paths"]


def told_paths(text: str, settings: Settings) -> str:
    """The text, in which paths below the folder of the runs start at that folder.

    Where it lies on this machine is nobody's business who asks over HTTP.
    """
    return text.replace(f"{settings.runs_folder.parent}/", "")
