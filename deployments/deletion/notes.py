"""Who is told of deletions, so that a restored backup leaves out what was deleted since."""

from collections.abc import Callable, Sequence

__all__ = ["DeletionNotes"]

DeletionNotes = Callable[[str, Sequence[str]], None]
"""Takes a kind and ids, which are kept once it returns; twice is once.

Kinds: `project`; `file`; `document`, a file in a vector store (`vs_…/file-…`), which may itself
stay.
"""
