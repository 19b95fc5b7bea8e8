"""Passages with their vectors, out of Milvus and into it: a restore embeds nothing anew."""

import socket
import tempfile
from collections.abc import Callable, Iterable, Iterator, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final
from urllib.parse import urlsplit

from cluster.errors import VectorDatabaseError
from cluster.milvus import MilvusLiteServer
from cluster.settings import Settings
from cluster.storage import CHUNK_BYTES

__all__ = ["Passages", "running_milvus"]

PREFIX: Final = "passages_"
_WINDOW: Final = 1000
_UPSERT: Final = 500
Document = tuple[str, int]
"""Store, and number of the version of a document."""


@contextmanager
def running_milvus(settings: Settings) -> Iterator[str]:
    """The URI of the settings' Milvus; the embedded one is started where it does not run."""
    if settings.milvus.uri or _answers(settings.milvus_uri):
        yield settings.milvus_uri
        return
    folder = settings.data_dir
    log = folder / "logs" / "milvus.log"
    server = MilvusLiteServer(folder / "milvus", settings.milvus.port, log_file=log)
    server.start()
    try:
        yield server.uri
    finally:
        server.stop()


def _answers(uri: str) -> bool:
    parts = urlsplit(uri)
    try:
        with socket.create_connection((parts.hostname or "", parts.port or 0), timeout=1.0):
            return True
    except OSError:
        return False


class Passages:
    """All collections of passages. Methods raise VectorDatabaseError."""

    def __init__(self, uri: str, *, token: str | None = None, timeout_s: float = 30.0) -> None:
        from pymilvus import MilvusClient

        self._timeout_s = timeout_s
        with _wrapping(uri):
            self._client = MilvusClient(uri=uri, token=token or "", timeout=timeout_s)
        self._uri = uri

    def close(self) -> None:
        """Give the connection back."""
        self._client.close()

    def collections(self) -> list[str]:
        """Names of the collections."""
        with _wrapping(self._uri):
            names = self._client.list_collections(timeout=self._timeout_s)
        return sorted(name for name in names if name.startswith(PREFIX))

    def write_to(self, path: Path, collection: str, documents: Sequence[Document]) -> int:
        """Write the passages of these documents as Parquet; returns how many there are."""
        import pyarrow
        import pyarrow.parquet as parquet

        with _wrapping(self._uri):
            self._client.load_collection(collection, timeout=self._timeout_s)
            fields = self._fields(collection)
        dense = pyarrow.list_(pyarrow.float32())
        schema = pyarrow.schema(
            [
                (name, dense if kind == "vector" else getattr(pyarrow, kind)())
                for name, kind in fields
            ]
        )
        written = 0
        with parquet.ParquetWriter(path, schema) as writer:
            for rows in self._batches(collection, documents, [name for name, _ in fields]):
                writer.write_table(pyarrow.Table.from_pylist(rows, schema=schema))
                written += len(rows)
        return written

    def read_from(
        self,
        path: Path,
        collection: str,
        prepare: Callable[[str, str, int], None],
        keep: Callable[[dict[str, Any]], bool],
    ) -> int:
        """Write the file's passages into a collection that `prepare(uri, name, dimension)` made."""
        import pyarrow.parquet as parquet

        written = 0
        with parquet.ParquetFile(path) as file:
            for part in file.iter_batches(batch_size=_UPSERT):
                rows = part.to_pylist()
                if not written and rows:
                    prepare(self._uri, collection, len(rows[0]["dense"]))
                if rows := [row for row in rows if keep(row)]:
                    with _wrapping(self._uri):
                        self._client.upsert(collection, rows, timeout=self._timeout_s)
                    written += len(rows)
        if written:
            with _wrapping(self._uri):
                self._client.flush(collection, timeout=self._timeout_s)
                self._client.load_collection(collection, timeout=self._timeout_s)
        return written

    def count(self, collection: str) -> int:
        """Passages of a collection."""
        with _wrapping(self._uri):
            rows = self._client.query(
                collection, filter="", output_fields=["count(*)"], consistency_level="Strong",
                timeout=self._timeout_s,
            )  # fmt: skip
        return int(rows[0]["count(*)"])

    def drop(self) -> None:
        """Remove every collection of passages."""
        for name in self.collections():
            with _wrapping(self._uri):
                self._client.drop_collection(name, timeout=self._timeout_s)

    def _fields(self, collection: str) -> list[tuple[str, str]]:
        """Names and kinds of what is written; the words' vectors follow from the texts."""
        from pymilvus import DataType

        kinds = {
            DataType.VARCHAR: "string",
            DataType.INT64: "int64",
            DataType.FLOAT_VECTOR: "vector",
        }
        described = self._client.describe_collection(collection, timeout=self._timeout_s)["fields"]
        named = [(field["name"], DataType(field["type"])) for field in described]
        return [(name, kinds[kind]) for name, kind in named if kind in kinds]

    def _batches(
        self, collection: str, documents: Iterable[Document], fields: list[str]
    ) -> Iterator[list[dict[str, Any]]]:
        for store, number in documents:
            start = 0
            while True:
                window = f"ordinal >= {start} and ordinal < {start + _WINDOW}"
                with _wrapping(self._uri):
                    rows = self._client.query(
                        collection,
                        filter=f'store_id == "{store}" and number == {number} and {window}',
                        output_fields=fields,
                        limit=_WINDOW,
                        consistency_level="Strong",
                        timeout=self._timeout_s,
                    )
                if rows:
                    yield [{name: row[name] for name in fields} for row in rows]
                if len(rows) < _WINDOW:
                    break
                start += _WINDOW


@contextmanager
def _wrapping(uri: str) -> Iterator[None]:
    from pymilvus.exceptions import MilvusException

    try:
        yield
    except MilvusException as error:
        raise VectorDatabaseError(
            f"Milvus at {uri} failed: {error.message}", fix="See `everloop doctor`."
        ) from error


@contextmanager
def scratch_file() -> Iterator[Path]:
    """A file that is gone at the end of the block."""
    with tempfile.TemporaryDirectory(prefix="everloop-backup-") as folder:
        yield Path(folder) / "passages.parquet"


def pieces(path: Path) -> Iterator[bytes]:
    """Read a file in pieces."""
    with path.open("rb") as file:
        while piece := file.read(CHUNK_BYTES):
            yield piece
