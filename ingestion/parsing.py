"""Parsing away from everything else: in processes that may hang, run out of memory or die.

A file that brings its parser down costs that file's attempt and nothing more.
"""

import asyncio
import logging
from typing import TYPE_CHECKING, Any, Final, Literal, Protocol

from cluster.storage import ByteStore
from ingestion.errors import DocumentError
from ingestion.loaders.limits import DocumentLimits
from ingestion.parser_process import ParserDiedError, ParserProcess
from ingestion.passages import ParsedDocument
from ingestion.stored_text import parse_document

if TYPE_CHECKING:
    from ray.actor import ActorHandle

    from cluster.settings import IngestionSettings

__all__ = ["LocalParser", "Parser", "ParserDiedError", "ParserPool", "ParserWorker", "limits_of"]

_log = logging.getLogger(__name__)
_WARM_UP_TIMEOUT_S: Final = 180.0
_LIMITS: Final = DocumentLimits()
Sandbox = Literal["available", "required"]


def limits_of(settings: "IngestionSettings") -> DocumentLimits:
    """The limits of a document, as the settings say."""
    return DocumentLimits(
        pages=settings.max_pages,
        characters=settings.max_characters,
        archive_entries=settings.max_archive_entries,
        expanded_bytes=settings.max_expanded_bytes,
        expansion_ratio=settings.max_expansion_ratio,
        archive_nesting=settings.max_archive_nesting,
    )


class Parser(Protocol):
    """Stored bytes to a parsed document."""

    async def parse(self, storage_key: str, filename: str) -> ParsedDocument:
        """Parse the object `storage_key`.

        Raises DocumentError (the file is at fault), ParserDiedError (try again), StorageError.
        """
        ...


class LocalParser:
    """Parses in a thread of this process: for tests, and where the files are trusted."""

    def __init__(self, storage: ByteStore) -> None:
        self._storage = storage

    async def parse(self, storage_key: str, filename: str) -> ParsedDocument:
        """Parse the object; see Parser. A file that hangs is not stopped."""
        return await asyncio.to_thread(_parse, self._storage, storage_key, filename)


class ParserWorker:
    """Has bytes of the store parsed by a process without rights, which ends with this one.

    ParserPool makes a Ray actor of it.
    """

    def __init__(
        self,
        storage_url: str,
        options: dict[str, Any],
        memory_mib: int,
        limits: DocumentLimits,
        sandbox: Sandbox,
    ) -> None:
        self._storage = ByteStore(storage_url, options)
        self._process = ParserProcess(
            memory_mib=memory_mib, limits=limits, required=sandbox == "required"
        )

    def warm_up(self) -> bool:
        """Start the process, which takes seconds."""
        self._process.start()
        return True

    def parse(self, storage_key: str, filename: str) -> bytes:
        """Return the parsed document as `dump_document` writes it."""
        return self._process.parse(self._storage.read(storage_key), filename)


class ParserPool:
    """Parser processes as Ray actors, one file at a time each, killed and replaced when they must.

    The actors belong to the process that made the pool, and end with it.
    """

    def __init__(
        self,
        storage_url: str,
        storage_options: dict[str, Any] | None = None,
        *,
        size: int = 1,
        timeout_s: float = 300.0,
        memory_mib: int = 2048,
        limits: DocumentLimits = _LIMITS,
        sandbox: Sandbox = "available",
        worker_class: type[ParserWorker] = ParserWorker,
    ) -> None:
        self._worker_class = worker_class
        self._arguments = (storage_url, dict(storage_options or {}), memory_mib, limits, sandbox)
        self._size = size
        self._timeout_s = timeout_s
        self._idle: asyncio.Queue[_Worker] = asyncio.Queue()
        self._workers: set[_Worker] = set()

    def start(self) -> None:
        """Start the processes; they warm up while other work goes on. Needs a running loop."""
        while len(self._workers) < self._size:
            self._add()

    async def parse(self, storage_key: str, filename: str) -> ParsedDocument:
        """Parse the object in an idle process; see Parser. Waits for one."""
        worker = await self._idle.get()
        try:
            await self._ready(worker)
            data = await self._answer(worker, storage_key, filename)
        except BaseException as error:
            if isinstance(error, Exception) and not worker.dead:
                self._idle.put_nowait(worker)
            else:
                self._replace(worker)
            raise
        self._idle.put_nowait(worker)
        return await asyncio.to_thread(parse_document, data)

    def close(self) -> None:
        """End every process."""
        for worker in list(self._workers):
            self._end(worker)

    async def _ready(self, worker: "_Worker") -> None:
        from ray.exceptions import RayError

        try:
            async with asyncio.timeout(_WARM_UP_TIMEOUT_S):
                await asyncio.shield(worker.warm)
        except (TimeoutError, RayError) as error:
            worker.dead = True
            raise ParserDiedError(f"A parser process did not start: {error}") from error

    async def _answer(self, worker: "_Worker", storage_key: str, filename: str) -> bytes:
        from ray.exceptions import RayActorError, RayTaskError

        call = asyncio.wrap_future(worker.actor.parse.remote(storage_key, filename).future())
        try:
            async with asyncio.timeout(self._timeout_s):
                return bytes(await call)
        except RayTaskError as error:
            raise error.cause from error
        except TimeoutError as error:
            worker.dead = True
            raise DocumentError(
                f"{filename!r} took longer than {self._timeout_s:g} s to parse.",
                fix="Split it, or raise `ingestion.file_timeout_s`.",
            ) from error
        except RayActorError as error:
            worker.dead = True
            raise ParserDiedError(f"The parser process died on {filename!r}.") from error

    def _add(self) -> None:
        worker = _Worker(self._worker_class, self._arguments)
        self._workers.add(worker)
        self._idle.put_nowait(worker)

    def _replace(self, worker: "_Worker") -> None:
        _log.warning("A parser process is replaced.")
        self._end(worker)
        self._add()

    def _end(self, worker: "_Worker") -> None:
        import ray

        self._workers.discard(worker)
        worker.warm.cancel()
        ray.kill(worker.actor)


class _Worker:
    """An actor, and the future of its warm-up."""

    def __init__(
        self,
        worker_class: type[ParserWorker],
        arguments: tuple[str, dict[str, Any], int, DocumentLimits, Sandbox],
    ) -> None:
        import ray

        actor_class = ray.remote(num_cpus=0, max_restarts=0, max_concurrency=1)(worker_class)
        self.actor: ActorHandle = actor_class.remote(*arguments)
        self.warm: asyncio.Future[bool] = asyncio.wrap_future(self.actor.warm_up.remote().future())
        self.warm.add_done_callback(_seen)
        self.dead = False


def _seen(future: "asyncio.Future[bool]") -> None:
    """Mark a failure as seen; whoever takes the worker meets it again."""
    if not future.cancelled():
        future.exception()


def _parse(storage: ByteStore, storage_key: str, filename: str) -> ParsedDocument:
    from ingestion.loaders import load_document

    return load_document(storage.read(storage_key), filename)
