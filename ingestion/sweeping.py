"""Deletion that really deletes: what the records say is gone, leaves Milvus and the byte store."""

import asyncio
from collections.abc import Sequence
from typing import Final

from cluster.storage import ByteStore
from ingestion.ledger import Ledger, Located
from ingestion.pipeline import PassageWriter
from ingestion.stored_text import text_keys

__all__ = ["Sweeper"]

_AT_ONCE: Final = 500


class Sweeper:
    """Purges document versions that are found no longer.

    Only versions that the records call dead are touched, whatever numbers it is asked for. Milvus
    goes first and the mark last, so a crash in between purges again. A number's passages must not
    be written meanwhile by this process; if another one does, its void claim unmarks the number.
    """

    def __init__(self, ledger: Ledger, storage: ByteStore, index: PassageWriter) -> None:
        self._ledger = ledger
        self._storage = storage
        self._index = index

    async def purge(self, numbers: Sequence[int]) -> int:
        """Purge those of `numbers` that are dead; returns how many. Raises VectorDatabaseError."""
        return await self._purge(await self._ledger.located(numbers))

    async def due(self) -> list[int]:
        """Return the numbers to purge next, oldest first; a bounded part of all."""
        return [found.number for found in await self._ledger.unpurged(_AT_ONCE)]

    async def purge_project(self, project_id: str) -> int:
        """Remove every passage of a project, whatever the records say; returns how many."""
        return await asyncio.to_thread(self._index.delete_project, project_id)

    async def _purge(self, located: Sequence[Located]) -> int:
        by_store: dict[tuple[str, str], list[int]] = {}
        for found in located:
            by_store.setdefault((found.project_id, found.store_id), []).append(found.number)
        for (project_id, store_id), numbers in by_store.items():
            await asyncio.to_thread(self._index.delete, project_id, store_id, numbers)
            await asyncio.to_thread(self._delete_texts, project_id, numbers)
            await self._ledger.mark_purged(numbers)
        return len(located)

    def _delete_texts(self, project_id: str, numbers: Sequence[int]) -> None:
        for number in numbers:
            for key in text_keys(project_id, number):
                self._storage.delete(key)
