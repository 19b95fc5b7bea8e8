"""A PassageIndex in memory, for what is written. The real one has its own tests."""

import threading
from collections.abc import Callable, Sequence

from cluster.errors import VectorDatabaseError
from ingestion.passages import EmbeddedPassage

__all__ = ["MemoryIndex"]


class MemoryIndex:
    """Passages by id. `down` calls fail as if Milvus were away; `gate` holds upserts back."""

    def __init__(self) -> None:
        self.passages: dict[str, EmbeddedPassage] = {}
        self.down = 0
        self.upserts = 0
        self.settled = 0
        self.gate = threading.Event()
        self.gate.set()
        self.reached = threading.Event()

    def upsert(self, passages: Sequence[EmbeddedPassage], *, language: str | None = None) -> None:
        self.reached.set()
        if not self.gate.wait(10):
            raise TimeoutError("The test never opened the gate.")
        self._answer()
        self.upserts += 1
        self.passages |= {passage.id: passage for passage in passages}

    def delete(self, project_id: str, store_id: str, numbers: Sequence[int]) -> None:
        place = (project_id, store_id)
        self._remove(lambda p: (p.project_id, p.store_id) == place and p.number in numbers)

    def delete_project(self, project_id: str) -> int:
        return self._remove(lambda passage: passage.project_id == project_id)

    def _remove(self, goes: Callable[[EmbeddedPassage], bool]) -> int:
        self._answer()
        kept = {key: passage for key, passage in self.passages.items() if not goes(passage)}
        gone = len(self.passages) - len(kept)
        self.passages = kept
        return gone

    def settle(self) -> None:
        self._answer()
        self.settled += 1

    def texts(self, number: int) -> list[str]:
        """The passages of a version, in order."""
        found = [p.chunk for p in self.passages.values() if p.number == number]
        return [chunk.text for chunk in sorted(found, key=lambda chunk: chunk.ordinal)]

    def _answer(self) -> None:
        if self.down > 0:
            self.down -= 1
            raise VectorDatabaseError("Milvus is away.")
