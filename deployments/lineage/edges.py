"""Edges that no record holds by itself: what an answer was made of, and whose rows a file has."""

from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from cluster.inserting import insert_missing
from cluster.records import LineageEdge, now
from cluster.tenancy import acting_project

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["Edge", "add_edges", "edges_of_sources", "edges_of_trace", "store_file_id"]

_PLACE: Final = {"id", "file_id", "vector_store_id"}


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
    the strongest kind, and one from the file that it stands in; one without ids has none.
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
    edges: dict[tuple[str, str], Edge] = {}
    for passage, kind in told:
        if not passage.keys() >= _PLACE:
            continue
        place = store_file_id(passage["vector_store_id"], passage["file_id"])
        edges[place, passage["id"]] = Edge(place, passage["id"], "part")
        edges[passage["id"], trace_id] = Edge(passage["id"], trace_id, kind)
    return list(edges.values())


def edges_of_sources(target: str, sources: Iterable[str]) -> list[Edge]:
    """Traces, feedback or reports that rows of a file, or items of a run, were made of."""
    return [Edge(source, target, "row") for source in sources]


def add_edges(session: "Session", edges: Iterable[Edge]) -> None:
    """Write the edges in the caller's transaction; those that are there already are left alone."""
    created_at = now()
    rows = [
        {
            "project_id": acting_project(),
            "source": edge.source,
            "target": edge.target,
            "kind": edge.kind,
            "created_at": created_at,
        }
        for edge in dict.fromkeys(edges)
    ]
    insert_missing(session, LineageEdge, rows)
