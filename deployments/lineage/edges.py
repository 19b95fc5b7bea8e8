"""Edges that no record holds by itself: what an answer was made of, and whose rows a file has."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from sqlalchemy.dialects import postgresql, sqlite

from cluster.ids import DEFAULT_PROJECT
from cluster.records import LineageEdge, now

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["Edge", "add_edges", "edges_of_sources", "edges_of_trace", "store_file_id"]

_BATCH: Final = 1000


class Edge(NamedTuple):
    """`source` had a part in `target`."""

    source: str
    target: str
    kind: str


def store_file_id(store_id: str, file_id: str) -> str:
    """How lineage names a file in a vector store."""
    return f"{store_id}/{file_id}"


def edges_of_trace(trace_id: str, body: Mapping[str, Any]) -> list[Edge]:
    """Which passages were found, used (in the prompt) or cited (they support a sentence).

    `body` is a trace's, with its passages: ids are taken, texts are not. A passage has one edge, of
    the strongest kind, and one from the file that it stands in.
    """
    cited = {
        support["passage"]
        for sentence in body.get("sentences") or ()
        for support in sentence.get("supports") or ()
    }
    told = [(passage, "found") for passage in body.get("left_out") or ()]
    told += [
        (passage, "cited" if index in cited else "used")
        for index, passage in enumerate(body.get("passages") or ())
    ]
    places = {str(passage["id"]): _place(passage) for passage, _ in told}
    kinds = {str(passage["id"]): kind for passage, kind in told}
    parts = [Edge(place, passage_id, "part") for passage_id, place in places.items()]
    return parts + [Edge(passage_id, trace_id, kind) for passage_id, kind in kinds.items()]


def edges_of_sources(target: str, sources: Iterable[str]) -> list[Edge]:
    """Traces, feedback or reports that rows of a file, or items of a run, were made of."""
    return [Edge(source, target, "row") for source in sources]


def add_edges(session: "Session", edges: Iterable[Edge]) -> None:
    """Write the edges in the caller's transaction; those that are there already are left alone."""
    dialect = sqlite if session.get_bind().dialect.name == "sqlite" else postgresql
    insert = dialect.insert(LineageEdge.__table__).on_conflict_do_nothing()
    created_at = now()
    rows = [
        {
            "project_id": DEFAULT_PROJECT,
            "source": edge.source,
            "target": edge.target,
            "kind": edge.kind,
            "created_at": created_at,
        }
        for edge in dict.fromkeys(edges)
    ]
    for start in range(0, len(rows), _BATCH):
        session.execute(insert, rows[start : start + _BATCH])


def _place(passage: Mapping[str, Any]) -> str:
    return store_file_id(passage["vector_store_id"], passage["file_id"])
