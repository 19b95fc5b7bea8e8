"""Walks: whole, bounded, and quick."""

import time

import pytest

from cluster.database import Database
from deployments.lineage.edges import Edge, add_edges, edges_of_sources
from deployments.lineage.node import Node
from deployments.lineage.walk import Bounds, Walk, walk
from tests.fixtures.lineage import add_loop, add_trace

NEW = Node("trace", "trace_new")


def ids(found: Walk) -> set[str]:
    return {node.id for node in found.nodes}


def test_an_answer_leads_back_to_the_feedback_and_the_document(database: Database) -> None:
    with database.session() as session:
        add_loop(session)
    with database.session(read_only=True) as session:
        found = walk(session, NEW, Bounds(), "backward")
    assert {"fb_1", "file-train", "ftjob-1", "gate_1", "file-doc", "psg_1"} <= ids(found)
    assert next(iter(found.nodes)) == NEW
    assert not ids(found) & {"resp_1", "trace_shadow", "alert_2"}  # effects, not causes


def test_a_document_leads_forward_to_the_answers_that_it_taught(database: Database) -> None:
    with database.session() as session:
        add_loop(session)
    with database.session(read_only=True) as session:
        found = walk(session, Node("file", "file-doc"), Bounds(), "forward")
    assert {"psg_1", "trace_old", "fb_1", "file-train", "assistant", "trace_new"} <= ids(found)


def test_both_directions_do_not_mix(database: Database) -> None:
    with database.session() as session:
        add_loop(session)
    with database.session(read_only=True) as session:
        found = walk(session, Node("feedback", "fb_1"), Bounds(), "backward", "forward")
    assert {"trace_old", "psg_1", "trace_new"} <= ids(found)
    assert "resp_1" not in ids(found)  # an effect of a cause is neither


def test_depth_is_kept_and_what_lies_beyond_is_counted(database: Database) -> None:
    with database.session() as session:
        add_loop(session)
    with database.session(read_only=True) as session:
        found = walk(session, Node("file", "file-doc"), Bounds(depth=2), "forward")
    assert ids(found) == {"file-doc", "vs_1/file-doc", "psg_1"}
    assert found.left_out == {"trace": 1}


def test_of_many_things_the_newest_are_told_and_the_others_counted(database: Database) -> None:
    with database.session() as session:
        for number in range(30):
            add_trace(session, f"trace_{number:02}")
        add_edges(session, [Edge("psg_1", f"trace_{number:02}", "used") for number in range(30)])
    root = Node("passage", "psg_1")
    with database.session(read_only=True) as session:
        found = walk(session, root, Bounds(per_type=10), "forward")
        few = walk(session, root, Bounds(nodes=5), "forward")
    assert ids(found) == {"psg_1", *(f"trace_{number}" for number in range(20, 30))}
    assert found.left_out == {"trace": 20}
    assert len(few.nodes) == 5
    assert few.left_out == {"trace": 26}


def test_many_things_of_one_type_leave_none_out_of_another(database: Database) -> None:
    with database.session() as session:
        add_trace(session, "trace_1", model="m", prompt_version="p@0")
        add_edges(session, [Edge(f"psg_{number:02}", "trace_1", "used") for number in range(30)])
    with database.session(read_only=True) as session:
        found = walk(session, Node("trace", "trace_1"), Bounds(nodes=8), "backward")
    assert len(found.nodes) == 8
    assert {"m", "p@0"} <= ids(found)


def test_what_no_query_reads_is_counted_too(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.lineage.walk.MOST_NODES", 10)
    with database.session() as session:
        add_edges(session, [Edge("psg_1", f"trace_{number:02}", "used") for number in range(30)])
    with database.session(read_only=True) as session:
        found = walk(session, Node("passage", "psg_1"), Bounds(), "forward")
    assert len(found.links) == 10
    assert found.left_out == {"trace": 20}


def test_a_circle_ends(database: Database) -> None:
    with database.session() as session:
        add_edges(
            session,
            [*edges_of_sources("file-1", ["trace_1"]), Edge("file-1", "trace_1", "used")],
        )
    with database.session(read_only=True) as session:
        found = walk(session, Node("file", "file-1"), Bounds(), "backward", "forward")
    assert ids(found) == {"file-1", "trace_1"}
    assert len(found.links) == 2


@pytest.mark.parametrize("database", ["sqlite"], indirect=True)
def test_a_thousand_things_take_less_than_a_second(database: Database) -> None:
    with database.session() as session:
        for number in range(500):
            add_trace(session, f"trace_{number:03}")
        names = [f"trace_{number:03}" for number in range(500)]
        add_edges(session, [Edge("vs_1/file-1", f"psg_{name}", "part") for name in names])
        add_edges(session, [Edge(f"psg_{name}", name, "cited") for name in names])
        add_edges(session, edges_of_sources("file-train", names))
    began = time.process_time()  # whatever else the machine does
    with database.session(read_only=True) as session:
        found = walk(session, Node("file", "file-train"), Bounds(per_type=1000), "backward")
    assert len(found.nodes) > 1000
    assert time.process_time() - began < 1
