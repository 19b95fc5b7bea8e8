"""Which rows of Milvus Lite's segments count, remembered between searches.

Milvus Lite 3.2 asks this anew in every search, row by row in Python: 25 ms at 20,000 passages, most
of a search, and a hybrid one needs two. Segments never change; so the newest version of each key is
found once for a set of segments, and a search looks only at what was written or deleted since.
Recent rows are left to Milvus Lite's own code. `install` acts in the server's process only, and
only on functions that have the parameters this was written for.
"""

import inspect
import threading
from collections.abc import Callable, Sequence
from typing import Any, Final

from cluster import milvus_scoring

__all__ = ["install"]

_KEPT: Final = 8
_DENSE: Final = [
    "query_vectors",
    "segments",
    "memtable",
    "delta_index",
    "top_k",
    "metric_type",
    "pk_field",
    "vector_field",
    "partition_names",
    "compiled_filter",
    "output_fields",
    "indexed_filter_plan",
    "project_record_fn",
    "search_params",
]
_SPARSE: Final = [
    "self",
    "query_vectors",
    "vector_field",
    "top_k",
    "metric_type",
    "partition_names",
    "expr",
    "output_fields",
    "timezone",
]

Hits = list[list[dict[str, Any]]]
_generations: "dict[tuple[int, ...], _Generation]" = {}
_lock: Final = threading.Lock()  # both searches of a hybrid one come at the same time


def install() -> bool:
    """Put the searches below in place of Milvus Lite's. False where it is built otherwise."""
    from milvus_lite.engine import collection

    dense = collection.execute_search_with_index
    sparse = collection.Collection._search_sparse
    if list(inspect.signature(dense).parameters) != _DENSE:
        return False
    if list(inspect.signature(sparse).parameters) != _SPARSE:
        return False
    collection.execute_search_with_index = _dense_search(dense)
    collection.Collection._search_sparse = _sparse_search(sparse)
    return True


class _Generation:
    """A set of segments: where the newest version of each key stands."""

    def __init__(self, segments: Sequence[Any]) -> None:
        import numpy as np

        self.segments = tuple(segments)  # kept, so that their ids name nothing else
        self._newest: dict[Any, tuple[int, int, int]] = {}
        for position, segment in enumerate(segments):
            for row, (key, seq) in enumerate(zip(segment.pks, segment.seqs.tolist(), strict=True)):
                if key not in self._newest or seq > self._newest[key][2]:
                    self._newest[key] = (position, row, seq)
        self._masks = [np.zeros(len(segment.pks), dtype=bool) for segment in segments]
        for position, row, _ in self._newest.values():
            self._masks[position][row] = True
        self._deleted = (0, 0)
        self._undeleted = self._masks
        self._recent: tuple[Any, int] = (None, 0)
        self._live = self._masks

    def live(self, memtable: Any, deleted: dict[Any, int]) -> list[Any]:
        """Return a mask for each segment: the rows that are neither replaced nor deleted.

        Recent keys move between the memtable's written and deleted ones, and leave both only with a
        flush, which changes `deleted` or the segments: as long as they are as many, they are the
        same. Of `deleted` their sum counts too: each new deletion has a higher number than all
        before it, so that no change keeps both.
        """
        recent = (memtable, memtable.size())
        stamp = (len(deleted), sum(deleted.values()))
        if self._deleted != stamp:
            self._undeleted = self._without(self._masks, deleted.items())
            self._deleted = stamp
            self._recent = (None, 0)
        if self._recent[0] is not memtable or self._recent[1] != recent[1]:
            newer = [(key, place[2]) for key, place in memtable.pk_index_snapshot()]
            newer += [(key, entry[0]) for key, entry in memtable.delete_index_snapshot().items()]
            self._live = self._without(self._undeleted, newer)
            self._recent = recent
        return self._live

    def _without(self, masks: list[Any], newer: Any) -> list[Any]:
        copies = [mask.copy() for mask in masks]
        for key, seq in newer:
            found = self._newest.get(key)
            if found is not None and seq > found[2]:
                copies[found[0]][found[1]] = False
        return copies


def _live_rows(segments: Sequence[Any], memtable: Any, deleted: dict[Any, int]) -> list[Any]:
    """See `_Generation.live`."""
    with _lock:
        return _generation(segments).live(memtable, deleted)


def _generation(segments: Sequence[Any]) -> _Generation:
    name = tuple(id(segment) for segment in segments)
    known = _generations.get(name)
    if known is None:
        known = _Generation(segments)
        while len(_generations) >= _KEPT:
            del _generations[next(iter(_generations))]
        _generations[name] = known
    return known


def _dense_search(original: Callable[..., Hits]) -> Callable[..., Hits]:
    def search(**given: Any) -> Hits:
        if given["partition_names"] or given["project_record_fn"] is None:
            return original(**given)
        from milvus_lite.index.brute_force import BruteForceIndex

        segments = [segment for segment in given["segments"] if segment.num_rows]
        hits = original(**(given | {"segments": []}))
        field, top_k = given["vector_field"], given["top_k"]
        masks = _live_rows(segments, given["memtable"], given["delta_index"]._map)
        for segment, live in zip(segments, masks, strict=True):
            mask = _filtered(segment, live, given["compiled_filter"], given["indexed_filter_plan"])
            vectors, present = segment.vector_data(field)
            if present is not None:
                mask = mask & present
            if not mask.any():
                continue
            index = segment.indexes.get(field)
            if index is None:
                index = BruteForceIndex.build(vectors, given["metric_type"])
            found = index.search(
                given["query_vectors"],
                top_k,
                valid_mask=None if mask.all() else mask,
                params=given["search_params"],
            )
            _add(hits, segment, *found)
        return _best(hits, top_k, given["output_fields"], given["project_record_fn"])

    return search


def _sparse_search(original: Callable[..., Hits]) -> Callable[..., Hits]:
    def search(
        self: Any,
        query_vectors: list[Any],
        vector_field: str,
        top_k: int,
        metric_type: str,
        partition_names: list[str] | None,
        expr: str | None,
        output_fields: list[str] | None,
        timezone: str | None = None,
    ) -> Hits:
        rest = (vector_field, top_k, metric_type, partition_names, expr, output_fields, timezone)
        if partition_names:
            return original(self, query_vectors, *rest)
        from milvus_lite.engine.projection import build_projection_plan, project_record
        from milvus_lite.index.sparse_factory import _search_prepared_sparse_index

        # Recent rows first: what is flushed meanwhile is then found twice, and not missed.
        hits = original(_RecentOnly(self), query_vectors, *rest)
        segments, deleted = self._read_snapshot()
        segments = [segment for segment in segments if segment.num_rows]
        queries = self._prepare_sparse_queries(query_vectors, vector_field)
        compiled = self._compile_filter(expr, timezone=timezone) if expr else None
        wanted = self._indexed_filter_plan(compiled)
        spec = self._index_specs.get(vector_field)
        parameters = spec.build_params if spec else {}
        live = _live_rows(segments, self._memtable, deleted._map)
        masks = [
            _filtered(segment, rows, compiled, wanted)
            for segment, rows in zip(segments, live, strict=True)
        ]
        parts = [
            (segment, _sparse_index(segment, vector_field, metric_type, parameters), mask)
            for segment, mask in zip(segments, masks, strict=True)
            if mask.any()
        ]
        known = None
        if all(milvus_scoring.fits(index) for _, index, _ in parts):
            known = milvus_scoring.statistics([part[1:] for part in parts], queries)
        for segment, index, mask in parts:
            if known is not None:
                found = milvus_scoring.search(index, queries, top_k, mask, known)
            else:
                found = _search_prepared_sparse_index(index, queries, top_k, valid_mask=mask)
            _add(hits, segment, *found)
        plan = build_projection_plan(output_fields, self._schema, api_kind="search")

        def project(record: dict[str, Any]) -> dict[str, Any]:
            projected: dict[str, Any] = project_record(record, self._schema, plan)
            return projected

        return _best(hits, top_k, output_fields, project)

    return search


class _RecentOnly:
    """A collection without its segments."""

    def __init__(self, collection: Any) -> None:
        self._collection = collection

    def __getattr__(self, name: str) -> Any:
        return getattr(self._collection, name)

    def _read_snapshot(self) -> tuple[tuple[Any, ...], Any]:
        return (), self._collection._read_snapshot()[1]


def _filtered(segment: Any, live: Any, compiled: Any, plan: Any) -> Any:
    if compiled is None or not live.any():
        return live
    from milvus_lite.search.indexed_filter import evaluate_segment_filter

    return live & evaluate_segment_filter(segment, compiled, plan).astype(bool)


def _sparse_index(segment: Any, field: str, metric: str, parameters: dict[str, Any]) -> Any:
    from milvus_lite.analyzer.sparse import bytes_to_sparse
    from milvus_lite.index.sparse_factory import create_sparse_index, sparse_index_matches

    index = segment.sparse_indexes.get(field)
    if not sparse_index_matches(index, metric, parameters):
        index = create_sparse_index(metric, parameters)
        index.build(
            [
                bytes_to_sparse(value) if isinstance(value, bytes) else (value or {})
                for value in segment.table.column(field).to_pylist()
            ]
        )
        segment.sparse_indexes[field] = index
    return index


def _add(hits: Hits, segment: Any, ids: Any, distances: Any) -> None:
    """Append what an index found in a segment; the record is read later, where it is wanted."""
    for found, rows, far in zip(hits, ids.tolist(), distances.tolist(), strict=True):
        found += [
            {"id": segment.pks[row], "distance": distance, "source": (segment, row)}
            for row, distance in zip(rows, far, strict=True)
            if row >= 0
        ]


def _best(
    hits: Hits,
    top_k: int,
    fields: list[str] | None,
    project: Callable[[dict[str, Any]], dict[str, Any]],
) -> Hits:
    results: Hits = []
    for found in hits:
        first: dict[Any, dict[str, Any]] = {}
        for hit in sorted(found, key=lambda hit: hit["distance"]):
            first.setdefault(hit["id"], hit)
        best = list(first.values())[:top_k]
        by_segment: dict[int, list[dict[str, Any]]] = {}
        for hit in best:
            if "source" in hit:
                by_segment.setdefault(id(hit["source"][0]), []).append(hit)
        for same in by_segment.values():
            segment, rows = same[0]["source"][0], [hit.pop("source")[1] for hit in same]
            for hit, record in zip(same, _records(segment, rows, fields), strict=True):
                hit["entity"] = project(record)
        results.append(best)
    return results


def _records(
    segment: Any, rows: Sequence[int], fields: list[str] | None
) -> Sequence[dict[str, Any]]:
    """Read `fields` of rows; all of them where that is asked or one is not a column."""
    if fields is None or not set(fields) <= set(segment.table.schema.names):
        return [segment.row_to_dict(row) for row in rows]
    columns = [_values(segment, name, list(rows)) for name in fields]
    return [dict(zip(fields, values, strict=True)) for values in zip(*columns, strict=True)]


def _values(segment: Any, name: str, rows: list[int]) -> list[Any]:
    """A column's values. Taking from one in several chunks would first copy all of it."""
    import pyarrow.types

    column = segment.table.column(name)
    if pyarrow.types.is_fixed_size_list(column.type):
        vectors, present = segment.vector_data(name)
        values: list[Any] = vectors[rows].tolist()
        if present is None:
            return values
        return [
            value if there else None for value, there in zip(values, present[rows], strict=True)
        ]
    if column.num_chunks == 1:
        values = column.take(rows).to_pylist()
    else:
        values = [column[row].as_py() for row in rows]
    return values
