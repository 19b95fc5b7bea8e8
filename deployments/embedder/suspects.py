"""Passes of the model that outlive a text which kills the process.

What was there when the process died is suspect, and runs alone: nothing else is under way then. A
text that the process died of alone is refused, so that others are no longer kept waiting by it.
"""

import threading
from array import array
from collections.abc import Callable, Iterator, Sequence
from contextlib import contextmanager
from hashlib import blake2b
from typing import TYPE_CHECKING, Final

from deployments.embedder.journal import DEADLY, Journal
from deployments.errors import Unprocessable

if TYPE_CHECKING:
    from ingestion.embedding import Encoded, Window

    Forward = Callable[[Sequence[Window]], list[Encoded]]

__all__ = ["Passes"]


class Passes:
    """Runs passes, in the threads that ask, by what the journal holds against their texts."""

    def __init__(self, journal: Journal | None) -> None:
        """`journal`: None where nothing can be written; then nobody is suspect."""
        self._journal: Final = journal
        self._turnstile: Final = _Turnstile()

    def run(self, windows: "Sequence[Window]", forward: "Forward") -> "list[Encoded]":
        """What `forward` says of each window, in order: those above suspicion first, in one pass.

        Raises Unprocessable, and runs nothing, where the process died of one of them alone.
        """
        journal = self._journal
        if journal is None:
            return forward(windows)
        digests = [_digest(window) for window in windows]
        held = {n: journal.deaths_alone(digest) for n, digest in enumerate(digests)}
        suspects = {n: deaths for n, deaths in held.items() if deaths is not None}
        if any(deaths >= DEADLY for deaths in suspects.values()):
            raise Unprocessable(
                "The embedding model's process dies of this text: it did so "
                f"{max(suspects.values())} times. It will be tried again in an hour.",
                code="embedding_crashed",
            )
        found: dict[int, Encoded] = {}
        if others := [n for n in range(len(windows)) if n not in suspects]:
            noted = [digests[n] for n in others]
            with self._turnstile.beside_others(), journal.running(noted, alone=False):
                passed = forward([windows[n] for n in others])
            found.update(zip(others, passed, strict=True))
        for n in sorted(suspects, key=lambda n: suspects[n]):
            with self._turnstile.alone(), journal.running([digests[n]], alone=True):
                (found[n],) = forward([windows[n]])
            journal.acquit(digests[n])
        return [found[n] for n in range(len(windows))]


class _Turnstile:
    """Lets threads in beside each other, or one alone; in the order in which they come."""

    def __init__(self) -> None:
        self._door: Final = threading.Lock()
        self._left: Final = threading.Condition()
        self._inside = 0

    @contextmanager
    def beside_others(self) -> Iterator[None]:
        with self._door, self._left:
            self._inside += 1
        try:
            yield
        finally:
            with self._left:
                self._inside -= 1
                self._left.notify_all()

    @contextmanager
    def alone(self) -> Iterator[None]:
        with self._door:
            with self._left:
                self._left.wait_for(lambda: self._inside == 0)
            yield


def _digest(window: "Window") -> str:
    return blake2b(array("I", window.ids).tobytes(), digest_size=12).hexdigest()
