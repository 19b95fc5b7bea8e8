"""Passages in Milvus: written, deleted, and found by vector or by words.

One class for Milvus Lite and for a server. What differs between them, and is hidden here:

| | Lite | server |
| --- | --- | --- |
| BM25 scores | negative, lower is better | positive, higher is better |
| tokenizer of the analysed field | `standard` (all it has) | `whitespace` |
| inserting an existing key | replaces | duplicates: so always upsert |
| new rows | searched by brute force until flushed | searched at once |
| reads after writes | at once | a moment later, unless the writer asks for `Strong` |
| after a restart | collections must be loaded again | loaded |
"""

import logging
import re
import threading
import time
from collections.abc import Callable, Sequence
from functools import partial
from typing import Any, Final, TypeVar

from cluster.errors import VectorDatabaseError
from cluster.masking import without_password
from ingestion.index_rows import OUTPUT, TEXT_BYTES, hit_of, row_of, rows_where
from ingestion.passages import EmbeddedPassage, Hit

__all__ = ["PassageIndex", "collection_name"]

T = TypeVar("T")

_UPSERT_ROWS: Final = 500
_TEXT_ROWS: Final = 1000
_CHECK_S: Final = 5.0
_MAX_RESULTS: Final = 16_384
"""Milvus's largest `limit`."""
_SEARCH_EF: Final = 128
_BM25: Final = {"bm25_k1": 1.5, "bm25_b": 0.75}
_HNSW: Final = {"M": 16, "efConstruction": 200}
_PAUSE_S: Final = 0.2
_AWAY: Final = ("unavailable", "fail connecting", "server unavailable", "closed channel", "reset")


def collection_name(model_id: str, dimension: int) -> str:
    """Name the collection of an embedding model: vectors of two models never share one."""
    return f"passages_{re.sub(r'[^A-Za-z0-9]+', '_', model_id).strip('_').lower()}_{dimension}"


class PassageIndex:
    """The passages of one embedding model. Safe to use from several threads; one process writes.

    Every method may raise VectorDatabaseError. A Milvus that restarts is waited for, up to
    `timeout_s` per call.
    """

    def __init__(
        self,
        uri: str,
        collection: str,
        dimension: int,
        *,
        token: str | None = None,
        timeout_s: float = 30.0,
    ) -> None:
        self.collection = collection
        self.dimension = dimension
        self.uri = uri
        self._token = token
        self._timeout_s = timeout_s
        self._opening = threading.Lock()
        self._opened: tuple[Any, bool] | None = None

    def ensure(self) -> None:
        """Create and load the collection where it is not. Raises when it has another dimension."""
        self._calling("set up", lambda client: None)

    def upsert(self, passages: Sequence[EmbeddedPassage], *, language: str | None = None) -> None:
        """Write passages; those with the same id are replaced.

        `language` (ISO 639-1) chooses the stemmer of the words that BM25 counts.
        """
        rows = [row_of(passage, language) for passage in passages]
        for start in range(0, len(rows), _UPSERT_ROWS):
            part = rows[start : start + _UPSERT_ROWS]
            self._calling(f"upsert of {len(part)} passages", partial(self._upsert, part))

    def _upsert(self, rows: list[dict[str, Any]], client: Any) -> None:
        client.upsert(self.collection, rows, timeout=self._timeout_s)

    def delete(self, project_id: str, store_id: str, numbers: Sequence[int]) -> None:
        """Remove every passage of these document versions. Unknown numbers are no error."""
        if numbers:
            where = rows_where(project_id, [store_id], numbers)
            self._delete(f"deletion of {len(numbers)} documents", where)

    def delete_project(self, project_id: str) -> int:
        """Remove every passage of a project; returns how many there were."""
        count = self.count(project_id)
        if count:
            self._delete(f"deletion of {project_id}", rows_where(project_id))
        return count

    def _delete(self, what: str, where: str) -> None:
        self._calling(
            what,
            lambda client: client.delete(self.collection, filter=where, timeout=self._timeout_s),
        )

    def settle(self) -> None:
        """Make what was written fast to search, and visible to every reader. For batch ends."""

        def flush(client: Any) -> None:
            client.flush(self.collection, timeout=self._timeout_s)
            client.load_collection(self.collection, timeout=self._timeout_s)

        self._calling("flush", flush)
        self.count()  # a Strong read: once it returns, weaker ones see the rows as well

    def count(
        self,
        project_id: str | None = None,
        store_id: str | None = None,
        numbers: Sequence[int] | None = None,
    ) -> int:
        """Passages, of one project, store or document where given, with every write so far."""
        where = rows_where(project_id, [store_id] if store_id else [], numbers)

        def query(client: Any) -> int:
            rows = client.query(
                self.collection,
                filter=where,
                output_fields=["count(*)"],
                consistency_level="Strong",
                timeout=self._timeout_s,
            )
            return int(rows[0]["count(*)"])

        return self._calling("count", query)

    def texts(self, project_id: str, store_id: str, number: int) -> list[str]:
        """Return the passages' texts of one document version, in the document's order."""
        found: list[str] = []
        while True:
            window = f"ordinal >= {len(found)} and ordinal < {len(found) + _TEXT_ROWS}"
            where = f"{rows_where(project_id, [store_id], [number])} and {window}"
            rows = self._calling("read", partial(self._texts, where))
            found += [text for _, text in sorted(rows)]
            if len(rows) < _TEXT_ROWS:
                return found

    def _texts(self, where: str, client: Any) -> list[tuple[int, str]]:
        rows = client.query(
            self.collection,
            filter=where,
            output_fields=["ordinal", "text"],
            limit=_TEXT_ROWS,
            consistency_level="Strong",
            timeout=self._timeout_s,
        )
        return [(int(row["ordinal"]), str(row["text"])) for row in rows]

    def check(self) -> None:
        """Raise VectorDatabaseError unless Milvus answers."""
        self._calling(
            "check", lambda client: client.has_collection(self.collection, timeout=_CHECK_S)
        )

    def search_dense(
        self,
        vector: Sequence[float],
        project_id: str,
        store_ids: Sequence[str],
        limit: int,
        *,
        numbers: Sequence[int] | None = None,
        excluded: Sequence[int] = (),
        with_vectors: bool = False,
    ) -> list[Hit]:
        """Find the project's passages nearest in meaning; `score` is the cosine. Best first.

        `numbers`: only these document versions. `excluded`: all but these.
        """
        return self._search(
            "dense",
            [list(vector)],
            {"metric_type": "COSINE", "params": {"ef": max(_SEARCH_EF, limit)}},
            rows_where(project_id, store_ids, numbers, excluded),
            limit,
            with_vectors,
        )

    def search_bm25(
        self,
        analysed: str,
        project_id: str,
        store_ids: Sequence[str],
        limit: int,
        *,
        numbers: Sequence[int] | None = None,
        excluded: Sequence[int] = (),
        with_vectors: bool = False,
    ) -> list[Hit]:
        """Find the project's passages that share terms with `analysed` (see `analyse_query`).

        Best first; `score` is BM25's, above 0: passages that share no term are not found.
        """
        if not analysed.strip():
            return []
        return self._search(
            "sparse",
            [analysed],
            {"metric_type": "BM25", "params": {}},
            rows_where(project_id, store_ids, numbers, excluded),
            limit,
            with_vectors,
        )

    def drop(self) -> None:
        """Remove the collection with everything in it."""
        self._calling(
            "removal",
            lambda client: client.drop_collection(self.collection, timeout=self._timeout_s),
        )
        self.close()

    def close(self) -> None:
        """Close the connection; the next call opens another."""
        with self._opening:
            if self._opened is not None:
                self._opened[0].close()
            self._opened = None

    def _search(
        self,
        anns_field: str,
        data: list[Any],
        params: dict[str, Any],
        where: str,
        limit: int,
        with_vectors: bool,
    ) -> list[Hit]:
        fields = [*OUTPUT, "dense"] if with_vectors else OUTPUT

        def search(client: Any) -> list[Hit]:
            found = client.search(
                self.collection,
                data=data,
                anns_field=anns_field,
                search_params=params,
                filter=where,
                limit=min(limit, _MAX_RESULTS),
                output_fields=fields,
                consistency_level="Bounded",
                timeout=self._timeout_s,
            )
            return [hit_of(item, anns_field) for item in found[0]]

        hits = self._calling(f"{anns_field} search", search)
        if anns_field == "sparse":
            hits = [hit for hit in hits if hit.score > 0]
        return sorted(hits, key=lambda hit: (-hit.score, hit.id))

    def _calling(self, what: str, call: Callable[[Any], T]) -> T:
        """Return `call(client)`, waiting for a Milvus that is away, up to `timeout_s`.

        Every call may run twice: writes carry their ids. A collection that a restart left
        unloaded is loaded.
        """
        import grpc  # type: ignore[import-untyped]
        from pymilvus.exceptions import MilvusException

        deadline = time.monotonic() + self._timeout_s
        while True:
            try:
                return self._call_once(call)
            except (MilvusException, grpc.RpcError, grpc.FutureTimeoutError, ValueError) as error:
                if isinstance(error, ValueError) and "closed channel" not in str(error):
                    raise
                if not _is_away(error) or time.monotonic() + _PAUSE_S > deadline:
                    raise VectorDatabaseError(
                        f"Milvus at {without_password(self.uri)}: {what} in {self.collection} "
                        f"failed: {error}",
                        fix="`everloop doctor` checks whether Milvus answers.",
                    ) from error
                time.sleep(_PAUSE_S)

    def _call_once(self, call: Callable[[Any], T]) -> T:
        from pymilvus.exceptions import MilvusException

        client, created = self._client()
        try:
            return call(client)
        except MilvusException as error:
            if created or not _is_unloaded(error):
                raise
            self._prepare(client)
            return call(client)

    def _client(self) -> tuple[Any, bool]:
        """Return the client, and whether this call has just opened it."""
        if self._opened is not None:
            return self._opened[0], False
        with self._opening:
            if self._opened is None:
                from pymilvus import MilvusClient

                # What fails is raised, and reported by whoever asked.
                logging.getLogger("pymilvus").setLevel(logging.CRITICAL)

                client = MilvusClient(self.uri, token=self._token or "", timeout=self._timeout_s)
                self._opened = (client, "lite" in str(client.get_server_version()).lower())
                try:
                    self._prepare(client)
                except BaseException:
                    self._opened = None
                    client.close()
                    raise
                return client, True
            return self._opened[0], False

    def _prepare(self, client: Any) -> None:
        if not client.has_collection(self.collection, timeout=self._timeout_s):
            self._create(client)
        fields = client.describe_collection(self.collection, timeout=self._timeout_s)["fields"]
        stored = next(f["params"]["dim"] for f in fields if f["name"] == "dense")
        if int(stored) != self.dimension:
            raise VectorDatabaseError(
                f"Collection {self.collection} holds vectors of {stored} dimensions, and the "
                f"embedding model gives {self.dimension}.",
                fix="Give the model another `embedding.id`.",
            )
        client.load_collection(self.collection, timeout=self._timeout_s)

    def _create(self, client: Any) -> None:
        from pymilvus import DataType, Function, FunctionType
        from pymilvus.exceptions import MilvusException

        lite = self._opened is not None and self._opened[1]
        schema = client.create_schema(auto_id=False, enable_dynamic_field=False)
        schema.add_field("id", DataType.VARCHAR, is_primary=True, max_length=64)
        schema.add_field("store_id", DataType.VARCHAR, max_length=64, is_partition_key=True)
        for name in ("project_id", "file_id"):
            schema.add_field(name, DataType.VARCHAR, max_length=64)
        for name in ("number", "ordinal", "start", "end", "page", "page_end"):
            schema.add_field(name, DataType.INT64)
        for name in ("text", "section"):
            schema.add_field(name, DataType.VARCHAR, max_length=TEXT_BYTES)
        schema.add_field(
            "analysed",
            DataType.VARCHAR,
            max_length=TEXT_BYTES,
            enable_analyzer=True,
            analyzer_params={"tokenizer": "standard" if lite else "whitespace"},
        )
        schema.add_field("dense", DataType.FLOAT_VECTOR, dim=self.dimension)
        schema.add_field("sparse", DataType.SPARSE_FLOAT_VECTOR)
        schema.add_function(
            Function(
                name="bm25",
                function_type=FunctionType.BM25,
                input_field_names=["analysed"],
                output_field_names=["sparse"],
            )
        )
        indexes = client.prepare_index_params()
        indexes.add_index("dense", index_type="HNSW", metric_type="COSINE", params=_HNSW)
        indexes.add_index(
            "sparse", index_type="SPARSE_INVERTED_INDEX", metric_type="BM25", params=_BM25
        )
        try:
            client.create_collection(
                self.collection,
                schema=schema,
                index_params=indexes,
                consistency_level="Bounded",
                timeout=self._timeout_s,
            )
        except MilvusException:
            if not client.has_collection(self.collection, timeout=self._timeout_s):
                raise  # else another process was quicker


def _is_away(error: Exception) -> bool:
    """Whether Milvus is down or restarting, as opposed to answering with an error."""
    text = str(error).lower()
    return any(sign in text for sign in _AWAY)


def _is_unloaded(error: Exception) -> bool:
    return "not loaded" in str(error).lower() or "released" in str(error).lower()
