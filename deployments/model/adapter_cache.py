"""Which adapters an engine holds: brought on demand, the least recently used put out for another.

An adapter that answers a call stays until the call has ended. Where all places are taken by such
adapters, the one that has been there longest takes no further calls until a place is free, so an
adapter in constant use cannot keep another one out for ever.
"""

import asyncio
import contextlib
import copy
import itertools
import logging
import shutil
from collections.abc import AsyncGenerator
from dataclasses import dataclass, field
from pathlib import Path
from typing import Final, Protocol

from cluster.adapters import AdapterFiles, fetch_adapter
from cluster.errors import StorageError
from cluster.storage import ByteStore
from deployments.errors import (
    ENGINE_FAILED,
    InvalidRequest,
    Overloaded,
    RequestError,
    Unavailable,
)
from deployments.model.replica_folder import ReplicaFolder

__all__ = ["AdapterCache", "AdapterEngine"]

_log = logging.getLogger(__name__)
LONGEST_WAIT_S: Final = 30.0
RETRY_AFTER_S: Final = 5


class AdapterEngine(Protocol):
    """What the cache needs of an engine. vLLM's is in `vllm_adapters.py`."""

    async def load(self, adapter_id: str, folder: Path) -> None:
        """Take the adapter in `folder` in, under its id. Raises RequestError to refuse it."""
        ...

    async def unload(self, adapter_id: str) -> None:
        """Free all that the adapter takes. No call uses it any more."""
        ...


@dataclass(slots=True, eq=False)
class _Slot:
    """One adapter that is wanted, on its way, or loaded."""

    adapter: AdapterFiles
    users: int = 0
    """Calls that use it or wait for it."""
    used: int = 0
    """Larger is more recent."""
    folder: Path = field(default_factory=Path)
    done: asyncio.Event = field(default_factory=asyncio.Event)
    """It is loaded, or `error` says why not."""
    error: RequestError | None = None
    open: asyncio.Event = field(default_factory=asyncio.Event)
    """Cleared while it takes no further calls."""

    @property
    def idle(self) -> bool:
        return self.done.is_set() and self.users == 0


class AdapterCache:
    """At most `most` adapters in an engine, their files in this replica's folder.

    All methods belong to one event loop.
    """

    def __init__(
        self,
        engine: AdapterEngine,
        store: ByteStore,
        folder: ReplicaFolder,
        *,
        most: int,
        max_rank: int,
        longest_wait_s: float = LONGEST_WAIT_S,
    ) -> None:
        self._engine = engine
        self._store = store
        self._folder = folder
        self._most = most
        self._max_rank = max_rank
        self._longest_wait_s = longest_wait_s
        self._slots: dict[str, _Slot] = {}
        self._placed: list[_Slot] = []
        """Those that have a place in the engine, by the time they got it."""
        self._turn = asyncio.Lock()
        self._changed = asyncio.Event()
        self._counter = itertools.count(1)
        self._tasks: set[asyncio.Task[None]] = set()

    def loaded(self) -> tuple[str, ...]:
        """Ids of the adapters that answer without being brought first, in alphabetic order."""
        return tuple(sorted(slot.adapter.id for slot in self._placed if slot.done.is_set()))

    @contextlib.asynccontextmanager
    async def use(self, adapter: AdapterFiles, wait_s: float) -> AsyncGenerator[None, None]:
        """Have `adapter` in the engine inside the block. One that is there costs no waiting.

        Raises InvalidRequest for a rank that the engine cannot take, Overloaded when no place got
        free within `wait_s` (or the longest wait), Unavailable when its files cannot be read, and
        what the engine raises. After a failure the next use tries again.
        """
        slot = await self._pinned(adapter, wait_s)
        try:
            yield
        finally:
            self._release(slot)

    def forget(self, adapter_id: str) -> None:
        """Have it leave the engine and the folder as soon as no call uses it; unknown is fine."""
        slot = self._slots.get(adapter_id)
        if slot is not None:
            task = asyncio.get_running_loop().create_task(self._leave(slot), name=adapter_id)
            self._keep(task)

    async def _leave(self, slot: _Slot) -> None:
        await slot.done.wait()
        slot.open.clear()
        try:
            while self._slots.get(slot.adapter.id) is slot:
                if not slot.idle:
                    self._changed.clear()
                    await self._changed.wait()
                    continue
                async with self._turn:
                    if slot.idle and self._slots.get(slot.adapter.id) is slot:
                        await self._evict(slot)
        finally:
            slot.open.set()

    def _keep(self, task: asyncio.Task[None]) -> None:
        self._tasks.add(task)
        task.add_done_callback(self._tasks.discard)

    async def _pinned(self, adapter: AdapterFiles, wait_s: float) -> _Slot:
        slot = self._slots.get(adapter.id)
        if slot is None or not slot.done.is_set() or not slot.open.is_set():
            self._check(adapter)
            return await self._awaited(adapter, min(wait_s, self._longest_wait_s))
        slot.users += 1
        slot.used = next(self._counter)
        return slot

    async def _awaited(self, adapter: AdapterFiles, wait_s: float) -> _Slot:
        try:
            async with asyncio.timeout(wait_s):
                while (slot := self._slots.get(adapter.id)) and not slot.open.is_set():
                    await slot.open.wait()
                if slot is None:
                    slot = self._begin(adapter)
                slot.users += 1
                try:
                    await slot.done.wait()
                    if slot.error is not None:
                        raise copy.copy(slot.error)  # one for each that waits
                except BaseException:
                    self._release(slot)
                    raise
        except TimeoutError:
            raise Overloaded(
                f"Adapter {adapter.id} was not loaded within {wait_s:g} s: {len(self._placed)} of "
                f"{self._most} places for adapters are taken. Try again shortly.",
                code="adapters_overloaded",
                retry_after_s=RETRY_AFTER_S,
            ) from None
        slot.used = next(self._counter)
        return slot

    def _check(self, adapter: AdapterFiles) -> None:
        if adapter.rank > self._max_rank:
            raise InvalidRequest(
                f"Adapter {adapter.id} has rank {adapter.rank}; its model serves ranks up to "
                f"{self._max_rank} (setting `max_adapter_rank`).",
                param="model",
                code="adapter_rank_too_high",
            )

    def _begin(self, adapter: AdapterFiles) -> _Slot:
        """Start bringing it, in a task that ends no sooner because a call goes."""
        slot = self._slots[adapter.id] = _Slot(adapter)
        slot.folder = self._folder.path / str(next(self._counter))
        slot.open.set()
        self._keep(asyncio.get_running_loop().create_task(self._bring(slot)))
        return slot

    def _release(self, slot: _Slot) -> None:
        slot.users -= 1
        slot.used = next(self._counter)
        self._changed.set()

    async def _bring(self, slot: _Slot) -> None:
        adapter_id = slot.adapter.id
        try:
            await self._take_place(slot)
            await asyncio.to_thread(fetch_adapter, self._store, slot.adapter, slot.folder)
            await self._engine.load(adapter_id, slot.folder)
            _log.info("Adapter %s is loaded.", adapter_id)
        except Exception as error:  # noqa: BLE001 - the edge of the task: told to all that wait
            slot.error = _told(adapter_id, error)
            del self._slots[adapter_id]  # at once: whoever comes now tries anew
            if slot in self._placed:
                self._placed.remove(slot)
        finally:
            slot.done.set()
            self._changed.set()
        if slot.error is not None:
            await self._clear(slot)

    async def _take_place(self, slot: _Slot) -> None:
        """Wait, in the order of coming, until the engine has room; make it where possible."""
        async with self._turn:
            closed: _Slot | None = None
            try:
                while slot.users and len(self._placed) >= self._most:
                    if idle := [placed for placed in self._placed if placed.idle]:
                        await self._evict(min(idle, key=lambda placed: placed.used))
                        continue
                    if closed is None:
                        closed = self._close_oldest()
                    self._changed.clear()
                    await self._changed.wait()
            finally:
                if closed is not None:
                    closed.open.set()
            if not slot.users:
                raise Unavailable(f"Nobody waits for adapter {slot.adapter.id} any more.")
            self._placed.append(slot)

    def _close_oldest(self) -> _Slot | None:
        oldest = next((placed for placed in self._placed if placed.done.is_set()), None)
        if oldest is not None:
            oldest.open.clear()
        return oldest

    async def _evict(self, slot: _Slot) -> None:
        del self._slots[slot.adapter.id]  # from here on a call for it brings it anew
        self._placed.remove(slot)
        await self._engine.unload(slot.adapter.id)
        await self._clear(slot)
        _log.info("Adapter %s has left.", slot.adapter.id)

    async def _clear(self, slot: _Slot) -> None:
        await asyncio.to_thread(shutil.rmtree, slot.folder, ignore_errors=True)


def _told(adapter_id: str, error: Exception) -> RequestError:
    """What the waiting calls are told. The client learns no place in the store."""
    if isinstance(error, RequestError):
        return error
    if isinstance(error, StorageError):
        _log.error("Adapter %s cannot be read: %s", adapter_id, error)
        reason, code = "its files cannot be read from the byte store", "adapter_unreadable"
    else:
        _log.error("Adapter %s cannot be loaded", adapter_id, exc_info=error)
        reason, code = "the engine failed", ENGINE_FAILED
    return Unavailable(
        f"Adapter {adapter_id} cannot be loaded: {reason}.", code=code, retry_after_s=RETRY_AFTER_S
    )
