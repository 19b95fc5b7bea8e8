"""Edges are written with the trace or the file that they belong to, once."""

from typing import Any

from sqlalchemy import select

from cluster.database import Database
from cluster.records import LineageEdge, Trace
from deployments.lineage.edges import add_edges, edges_of_sources, edges_of_trace
from deployments.tracing.draft import TraceDraft
from deployments.tracing.rows import RowMaker
from deployments.tracing.writer import TraceWriter


def passage(name: str, file: str = "file-1") -> dict[str, Any]:
    return {"id": name, "file_id": file, "vector_store_id": "vs_1", "text": "secret"}


BODY: dict[str, Any] = {
    "passages": [passage("psg_cited"), passage("psg_used")],
    "left_out": [passage("psg_found", "file-2")],
    "sentences": [{"supports": [{"passage": 0, "score": 1.0}]}, {"supports": []}],
}


def edges(database: Database) -> set[tuple[str, str, str]]:
    with database.session() as session:
        return {(row.source, row.kind, row.target) for row in session.scalars(select(LineageEdge))}


def test_a_passage_was_found_used_or_cited() -> None:
    found = {(edge.source, edge.kind, edge.target) for edge in edges_of_trace("trace_1", BODY)}
    assert found == {
        ("psg_cited", "cited", "trace_1"),
        ("psg_used", "used", "trace_1"),
        ("psg_found", "found", "trace_1"),
        ("vs_1/file-1", "part", "psg_cited"),
        ("vs_1/file-1", "part", "psg_used"),
        ("vs_1/file-2", "part", "psg_found"),
    }


def test_a_passage_in_the_prompt_is_not_only_found() -> None:
    body = {"passages": [passage("psg_1")], "left_out": [passage("psg_1")]}
    assert [edge.kind for edge in edges_of_trace("trace_1", body)] == ["part", "used"]


def test_a_trace_without_passages_or_with_strange_ones_has_no_edge() -> None:
    assert edges_of_trace("trace_1", {"tokens": {"prompt": 1}}) == []
    assert edges_of_trace("trace_1", {"passages": [{"text": "?"}]}) == []


async def test_a_trace_has_its_edges_also_where_its_texts_are_not_kept(database: Database) -> None:
    writer = TraceWriter(database, flush_interval_s=60, rows=RowMaker(store_text=False))
    first, second = TraceDraft(body=dict(BODY)), TraceDraft(body=dict(BODY))
    writer.record(first)
    writer.record(second)
    await writer.close()
    with database.session() as session:
        assert "passages" not in session.get_one(Trace, first.id).body
    cited = {("psg_cited", "cited", draft.id) for draft in (first, second)}
    assert cited | {("vs_1/file-1", "part", "psg_cited")} <= edges(database)


def test_an_edge_that_is_there_is_left_alone(database: Database) -> None:
    for sources in (["trace_1", "fb_1"], ["trace_1", "trace_1", "fb_2"]):
        with database.session() as session:
            add_edges(session, edges_of_sources("file-1", sources))
    assert {source for source, _, _ in edges(database)} == {"trace_1", "fb_1", "fb_2"}


def test_many_edges_are_written(database: Database) -> None:
    with database.session() as session:
        add_edges(session, edges_of_sources("file-1", [f"trace_{n}" for n in range(2500)]))
    assert len(edges(database)) == 2500


def test_no_edges_are_no_work(database: Database) -> None:
    with database.session() as session:
        add_edges(session, [])
    assert edges(database) == set()
