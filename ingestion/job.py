"""Thousands of files into a vector store, as one Ray Data job.

    ray job submit -- python -m ingestion.job PATH… --store NAME [--project ID] [--json]

Beside a running Everloop it is safe: the rows it works on are leased (`ingestion.ledger`), so the
Ingestor leaves them alone; Milvus gets passages of numbers that nobody else writes, under ids that
depend on their content; the records, not Milvus, say what is found. When the job is stopped or
dies, its leases lapse and the Ingestor finishes the files; the next run of the same command skips
what is done and takes over what is not.

registration (bytes stored, rows claimed) → CutFile → EmbedPassages → BulkWriter → report.
"""

import argparse
import asyncio
import json
import logging
import math
import os
import signal
import sys
import time
from collections import Counter
from collections.abc import Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from cluster.database import Database
from cluster.errors import DatabaseError, EverloopError, VectorDatabaseError
from cluster.ids import DEFAULT_PROJECT
from cluster.settings import Settings, load_settings
from cluster.storage import ByteStore
from cluster.tenancy import acting_in
from cluster.tls import node_environment
from ingestion.bulk_stages import CutFile, EmbedPassages, PassageRow, StageSettings
from ingestion.bulk_writing import BulkWriter, Failure
from ingestion.changes import Claim
from ingestion.errors import IngestionError
from ingestion.ledger import BULK_LEASE_S, Ledger
from ingestion.parsing import limits_of
from ingestion.registration import Found, Registrar, find_files
from ingestion.sweeping import Sweeper

if TYPE_CHECKING:
    from ingestion.index import PassageIndex

__all__ = ["JobReport", "main", "run_job"]

_log = logging.getLogger(__name__)
_PROGRESS_S: Final = 5.0
_FILES_PER_BLOCK: Final = 4
_BATCH: Final = 128
_STAGE_CPUS: Final = 0.05
"""Little, so that the stages fit beside a running Everloop; the kernel shares out the cores."""
_SOME_FAILED: Final = 1
_CANNOT_RUN: Final = 2


@dataclass
class JobReport:
    """What the job did. `files` counts completed, skipped, failed, cancelled, lost, elsewhere."""

    store_id: str
    files: dict[str, int] = field(default_factory=dict)
    failures: list[Failure] = field(default_factory=list)
    passages: int = 0
    seconds: float = 0.0

    @property
    def passages_per_s(self) -> float:
        """Of the whole job, registration and start of the workers included."""
        return round(self.passages / self.seconds, 2) if self.seconds else 0.0


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; 0 when every file is in the store, 1 when some failed, 2 when it cannot."""
    parser = argparse.ArgumentParser(prog="ingestion.job", description=__doc__)
    parser.add_argument("paths", nargs="+", type=Path, metavar="PATH")
    parser.add_argument("--store", required=True, help="id or name of the vector store")
    parser.add_argument(
        "--project", default=DEFAULT_PROJECT, help="id of the project that it is for"
    )
    parser.add_argument("--chunking", help="auto, sentence, by_title or semantic")
    parser.add_argument("--json", action="store_true", help="print the report as JSON")
    options = parser.parse_args(arguments)
    logging.basicConfig(level=logging.WARNING)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # `ray job stop`
    try:
        settings = load_settings()
        chunking = {"type": options.chunking} if options.chunking else settings.ingestion.chunking
        with acting_in(options.project):
            report = run_job(settings, options.paths, options.store, chunking)
    except EverloopError as error:
        print(error, file=sys.stderr)
        return _CANNOT_RUN
    except KeyboardInterrupt:
        print("Interrupted: unfinished files are left to the Ingestor.", file=sys.stderr)
        return 130
    print(json.dumps(_as_json(report), indent=1) if options.json else _as_text(report))
    return _SOME_FAILED if report.failures else 0


def run_job(
    settings: Settings, paths: Sequence[Path], store: str, chunking: dict[str, Any]
) -> JobReport:
    """Ingest the files of `paths` for the acting project. Raises EverloopError."""
    from ingestion.chunking import parse_strategy

    started = time.monotonic()
    parse_strategy(chunking)
    found = find_files(paths)
    database = Database(settings.database_url, settings.database.pool_size)
    database.check()
    storage = ByteStore(settings.storage_url, settings.storage.options)
    ledger = Ledger(database, lease_s=BULK_LEASE_S)
    registrar = Registrar(
        database,
        storage,
        ledger,
        chunking=chunking,
        max_file_bytes=settings.ingestion.max_file_bytes,
        max_files=settings.ingestion.max_files_per_store,
    )
    _connect(settings)
    report = JobReport(registrar.store(store))
    _tell(f"{len(found)} files for {report.store_id}")
    try:
        asyncio.run(_Job(settings, registrar, ledger, storage, report).run(found))
    finally:
        report.seconds = round(time.monotonic() - started, 2)
        database.close()
    return report


class _Job:
    """One run. Its claims are renewed meanwhile, and given back at its end, however it ends."""

    def __init__(
        self,
        settings: Settings,
        registrar: Registrar,
        ledger: Ledger,
        storage: ByteStore,
        report: JobReport,
    ) -> None:
        self._settings = settings
        self._registrar = registrar
        self._ledger = ledger
        self._storage = storage
        self._report = report
        self._claims: dict[int, tuple[Claim, str]] = {}
        self._writer: BulkWriter | None = None
        self._files = 0

    async def run(self, found: Sequence[Found]) -> None:
        """Register, ingest, clean up; fills the report."""
        self._files = len(found)
        keeper = asyncio.create_task(self._keep())
        try:
            counts = await self._register(found)
            self._writer = BulkWriter(self._ledger, self._open_index, self._claims)
            if self._claims:
                await self._ingest(self._writer)
                await self._clean_up(self._writer)
            self._report.files = dict(counts + self._writer.counts)
            self._report.failures += self._writer.failures
            self._report.passages = self._writer.passages
        finally:
            keeper.cancel()
            await self._ledger.release(self._open_claims())

    async def _register(self, found: Sequence[Found]) -> Counter[str]:
        counts: Counter[str] = Counter()
        for file in found:
            registered = await asyncio.to_thread(
                self._registrar.register, self._report.store_id, file
            )
            if registered.claim is not None:
                self._claims[registered.claim.number] = (registered.claim, file.source)
                continue
            counts[registered.status] += 1
            if registered.status == "failed":
                failure = Failure(file.source, "queued", "invalid_file", registered.reason)
                self._report.failures.append(failure)
        return counts

    async def _ingest(self, writer: BulkWriter) -> None:
        """Take what Ray Data gives, batch by batch, in a thread: its iterator blocks."""
        loop = asyncio.get_running_loop()
        claims = [claim for claim, _ in self._claims.values()]
        with ThreadPoolExecutor(1, thread_name_prefix="ray-data") as thread:
            batches = await loop.run_in_executor(thread, _batches, self._settings, claims)
            while (batch := await loop.run_in_executor(thread, next, batches, None)) is not None:
                rows = [
                    cast(PassageRow, {name: batch[name][i] for name in PassageRow.__annotations__})
                    for i in range(len(batch["number"]))
                ]
                await writer.write(rows, batch["vector"])

    async def _clean_up(self, writer: BulkWriter) -> None:
        """Purge what was replaced and flush. What Milvus refuses now, the Ingestor's sweep does."""
        if writer.index is None:
            return
        sweeper = Sweeper(self._ledger, self._storage, writer.index)
        try:
            await sweeper.purge(writer.replaced)
            await asyncio.to_thread(writer.index.settle)
        except VectorDatabaseError as error:
            _log.warning("Cleaning up is left to the Ingestor: %s", error)

    async def _keep(self) -> None:
        """Renew the leases and say how far it is, until cancelled."""
        started = renewed = time.monotonic()
        while True:
            await asyncio.sleep(_PROGRESS_S)
            writer, now = self._writer, time.monotonic()
            if now - renewed >= BULK_LEASE_S / 4:
                renewed = now
                try:
                    await self._renew()
                except DatabaseError as error:
                    _log.warning("The leases cannot be renewed: %s", error)
            if writer is None:
                _tell(f"stored {len(self._claims)} of {self._files} files")
            else:
                done = sum(writer.counts.values())
                _tell(
                    f"{done} of {len(self._claims)} files, {writer.passages} passages, "
                    f"{writer.passages / (now - started):.1f} passages/s, "
                    f"{len(writer.failures)} failed"
                )

    async def _renew(self) -> None:
        if self._writer is not None:
            await self._writer.keep_leases()
        else:
            await self._ledger.renew(self._open_claims())

    def _open_claims(self) -> list[Claim]:
        if self._writer is not None:
            return self._writer.open_claims
        return [claim for claim, _ in self._claims.values()]

    def _open_index(self, dimension: int) -> "PassageIndex":
        from ingestion.index import PassageIndex, collection_name

        settings = self._settings
        return PassageIndex(
            settings.milvus_uri,
            collection_name(settings.embedding.id, dimension),
            dimension,
            token=settings.milvus.token,
            timeout_s=settings.milvus.timeout_s,
        )


def _connect(settings: Settings) -> None:
    """Join the cluster: that of `ray job submit`, else the one that the settings name."""
    os.environ.update(node_environment(settings.tls))
    import ray

    if ray.is_initialized():
        return
    # `ray job submit` sets RAY_ADDRESS, which an address of None follows.
    address = settings.ray.address or f"127.0.0.1:{settings.ray.port}"
    try:
        ray.init(
            address=None if "RAY_ADDRESS" in os.environ else address,
            log_to_driver=False,
            logging_level="ERROR",
        )
    except (ConnectionError, RuntimeError, ValueError) as error:
        raise IngestionError(
            f"The Ray cluster at {address} cannot be joined: {error}", fix="Start `everloop up`."
        ) from error


def _batches(settings: Settings, claims: Sequence[Claim]) -> Iterator[dict[str, Any]]:
    """Start the stages; yields batches of PassageRow columns with `vector`."""
    import ray
    from ray.data import ActorPoolStrategy, DataContext

    context = DataContext.get_current()
    context.enable_progress_bars = False
    documents, embedding = settings.ingestion, settings.embedding
    stages = StageSettings(
        storage_url=settings.storage_url,
        storage_options=settings.storage.options,
        file_timeout_s=documents.file_timeout_s,
        parser_memory_mib=documents.parser_memory_mib,
        limits=limits_of(documents),
        sandbox=documents.sandbox,
        max_attempts=documents.max_attempts,
        embedding_source=embedding.source,
        cache_dir=str(settings.cache_dir),
        device=embedding.device,
        threads=embedding.threads,
        batch_tokens=embedding.batch_tokens,
    )
    files = [
        {
            "number": claim.number,
            "project_id": claim.project_id,
            "storage_key": claim.storage_key,
            "filename": claim.filename,
            "chunking": json.dumps(claim.chunking),
        }
        for claim in claims
    ]
    blocks = math.ceil(len(files) / _FILES_PER_BLOCK)
    return iter(
        ray.data.from_items(files, override_num_blocks=blocks)
        .flat_map(
            CutFile,
            fn_constructor_args=(stages,),
            compute=ActorPoolStrategy(size=documents.parsers),
            num_cpus=_STAGE_CPUS,
        )
        .map_batches(
            EmbedPassages,
            fn_constructor_args=(stages,),
            compute=ActorPoolStrategy(size=embedding.replicas),
            batch_size=_BATCH,
            num_cpus=_STAGE_CPUS,
            num_gpus=1 if embedding.device == "gpu" else 0,
        )
        .iter_batches(batch_size=None, batch_format="numpy", prefetch_batches=1)
    )


def _tell(line: str) -> None:
    print(line, file=sys.stderr, flush=True)


def _as_json(report: JobReport) -> dict[str, Any]:
    return {**asdict(report), "passages_per_s": report.passages_per_s}


def _as_text(report: JobReport) -> str:
    counts = ", ".join(f"{count} {status}" for status, count in sorted(report.files.items()))
    lines = [
        f"{report.store_id}: {counts or 'nothing to do'}",
        f"{report.passages} passages in {report.seconds} s ({report.passages_per_s} passages/s)",
    ]
    lines += [
        f"failed: {failure.source} while {failure.stage} ({failure.code}): {failure.reason}"
        for failure in report.failures
    ]
    return "\n".join(lines)


if __name__ == "__main__":
    sys.exit(main())
