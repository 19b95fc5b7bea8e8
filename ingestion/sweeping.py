"""Deletion that really deletes: what the records say is gone, leaves Milvus and the byte store."""

import asyncio
from collections.abc import Sequence
from typing import Final

from cluster.storage import ByteStore
from ingestion.ledger import Ledger
from ingestion.pipeline import PassageWriter
from ingestion.stored_text import TEXT_KEY

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
        return [number for _, number in await self._ledger.unpurged(_AT_ONCE)]

    async def _purge(self, located: Sequence[tuple[str, int]]) -> int:
        by_store: dict[str, list[int]] = {}
        for store_id, number in located:
            by_store.setdefault(store_id, []).append(number)
        for store_id, numbers in by_store.items():
            await asyncio.to_thread(self._index.delete, store_id, numbers)
            await asyncio.to_thread(self._delete_texts, numbers)
            await self._ledger.mark_purged(numbers)
        return len(located)

    def _delete_texts(self, numbers: Sequence[int]) -> None:
        for number in numbers:
            self._storage.delete(TEXT_KEY.format(number=number))
