"""The Ingestor: the one writer of documents. A thin Serve shell over `ingestor.Ingestor`.

One replica. A rolling update may run the old and the new one side by side for a moment; the claims
of `ingestion.ledger` keep them off each other's rows, and passage ids are content hashes, so a
passage written twice is one passage.
"""

import asyncio
import contextlib
import logging
import os
import time
from collections.abc import Sequence
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from cluster.errors import EverloopError
from cluster.settings import Settings
from deployments.ingestor.ingestor import Ingestor
from deployments.lifetime import lifetime
from deployments.ports import PURGE_TIMEOUT_S

if TYPE_CHECKING:
    from ray.serve import Application
    from ray.serve.handle import DeploymentHandle

    from deployments.handles import EmbedderHandle
    from ingestion.parsing import ParserPool

__all__ = ["IngestorReplica", "build_ingestor"]

_log = logging.getLogger(__name__)
_STUCK_S: Final = 60.0
_START_PAUSE_S: Final = 1.0
_CPUS: Final = 0.1


class IngestorReplica:
    """Starts the loop once the Embedder answers, and restarts by failing its health check."""

    async def __init__(  # type: ignore[misc]  # Serve awaits it
        self, settings: Settings, embedding_folder: str, embedder: "DeploymentHandle[Any]"
    ) -> None:
        self._settings = settings
        self._embedding_folder = Path(embedding_folder)
        self._embedder_handle = embedder
        self._ingestor: Ingestor | None = None
        self._parser: ParserPool | None = None
        self._started = time.monotonic()
        self._task = asyncio.get_running_loop().create_task(self._run())

    async def wake(self) -> None:
        """Look for work now; see DocumentQueue."""
        if self._ingestor is not None:
            self._ingestor.wake()

    async def purge(self, numbers: Sequence[int]) -> None:
        """Delete passages; see DocumentQueue. Unavailable while it starts: the sweeper follows."""
        await self._started_one().purge(numbers)

    async def purge_project(self, project_id: str) -> int:
        """Delete a project's passages; see DocumentQueue. Unavailable while it starts."""
        return await self._started_one().purge_project(project_id)

    def _started_one(self) -> Ingestor:
        from deployments.errors import Unavailable

        if self._ingestor is None:
            raise Unavailable("The Ingestor is starting.", code="part_restarting", retry_after_s=2)
        return self._ingestor

    async def stats(self) -> dict[str, Any]:
        """Return IngestorStats as a dictionary; `ready` is False while it starts."""
        if self._ingestor is None:
            return {"ready": False, "pid": os.getpid()}
        return {"ready": True, "pid": os.getpid(), **asdict(await self._ingestor.stats())}

    async def check_health(self) -> None:
        """Raise when the loop ended or is stuck, so that Serve replaces the replica."""
        if self._task.done():
            raise RuntimeError("The Ingestor's loop ended.") from self._task.exception()
        if self._ingestor and time.monotonic() - self._ingestor.last_turn > _STUCK_S:
            raise RuntimeError(f"The Ingestor's loop has been stuck for {_STUCK_S:g} s.")

    async def __del__(self) -> None:
        """Stop the loop and give its rows back; Serve awaits this before the replica ends."""
        self._task.cancel()
        with contextlib.suppress(asyncio.CancelledError):
            await self._task
        if self._parser is not None:
            self._parser.close()

    async def _run(self) -> None:
        self._ingestor = await self._assemble()
        await self._ingestor.run()

    async def _assemble(self) -> Ingestor:
        from tokenizers import Tokenizer

        from cluster.database import Database
        from cluster.storage import ByteStore
        from deployments.errors import DeadlineExceeded, Overloaded, Unavailable
        from deployments.handles import EmbedderHandle
        from ingestion.index import PassageIndex, collection_name
        from ingestion.ledger import Ledger
        from ingestion.parsing import ParserPool, limits_of
        from ingestion.pipeline import Chunker, DocumentPipeline
        from ingestion.sweeping import Sweeper

        settings = self._settings
        documents = settings.ingestion
        self._parser = ParserPool(
            settings.storage_url,
            settings.storage.options,
            size=documents.parsers,
            timeout_s=documents.file_timeout_s,
            memory_mib=documents.parser_memory_mib,
            limits=limits_of(documents),
            sandbox=documents.sandbox,
        )
        self._parser.start()
        embedder = EmbedderHandle(self._embedder_handle)
        dimension = await self._dimension(embedder)
        index = PassageIndex(
            settings.milvus_uri,
            collection_name(settings.embedding.id, dimension),
            dimension,
            token=settings.milvus.token,
            timeout_s=settings.milvus.timeout_s,
        )
        ledger = Ledger(Database(settings.database_url, settings.database.pool_size))
        storage = ByteStore(settings.storage_url, settings.storage.options)
        pipeline = DocumentPipeline(
            ledger,
            storage,
            self._parser,
            Chunker(Tokenizer.from_file(str(self._embedding_folder / "tokenizer.json"))),
            embedder,
            index,
            max_attempts=documents.max_attempts,
            outages=(DeadlineExceeded, Overloaded, Unavailable),
        )
        return Ingestor(
            ledger,
            pipeline,
            Sweeper(ledger, storage, index),
            max_attempts=documents.max_attempts,
        )

    async def _dimension(self, embedder: "EmbedderHandle") -> int:
        """Return the length of the model's vectors, as soon as the Embedder is up."""
        while True:
            try:
                return await embedder.dimension()
            except EverloopError as error:
                _log.info("The Ingestor waits for the Embedder: %s", error)
                await asyncio.sleep(_START_PAUSE_S)


def build_ingestor(
    settings: Settings, embedding_folder: Path, embedder: "Application"
) -> "Application":
    """Bind the Ingestor; `embedding_folder` holds the embedding model's `tokenizer.json`."""
    from ray import serve

    deployment = serve.deployment(
        IngestorReplica,
        name="Ingestor",
        num_replicas=1,
        max_ongoing_requests=64,
        max_queued_requests=256,
        ray_actor_options={"num_cpus": _CPUS},
        **lifetime(PURGE_TIMEOUT_S),
    )
    return deployment.bind(settings, str(embedding_folder), embedder)
