"""Who is told of deletions, so that a restored backup leaves out what was deleted since."""

from collections.abc import Callable, Sequence

__all__ = ["DeletionNotes"]

DeletionNotes = Callable[[str, Sequence[str]], object]
"""Takes a kind and ids, which are kept once it returns; twice is once.

Kinds: `project`; `file`; `document`, a version of a file in a vector store, by its number: the file
may itself stay; `vector_store`; `trace`; `response`; `key`, one that was revoked.
"""
