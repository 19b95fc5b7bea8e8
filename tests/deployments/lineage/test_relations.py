"""Every relation, in both directions, on both databases."""

import pytest

from cluster.database import Database
from deployments.lineage.node import Direction, Node, type_of
from deployments.lineage.walk import Bounds, walk
from tests.fixtures.lineage import ADAPTER, BASE, add_loop

POLITE = "polite@0123456789ab"
_NAMED = {
    "assistant": "alias",
    "assistant@1": "alias.move",
    "assistant@2": "alias.move",
    BASE: "model",
    POLITE: "prompt",
    "first@aaaaaaaaaaaa": "prompt",
}

LINKS = {
    ("file-doc", "ingested", "vs_1/file-doc"),
    ("vs_1", "holds", "vs_1/file-doc"),
    ("vs_1/file-doc", "part", "psg_1"),
    ("psg_1", "cited", "trace_old"),
    ("first@aaaaaaaaaaaa", "step", POLITE),
    (POLITE, "prompt", "trace_old"),
    (BASE, "answered_by", "trace_old"),
    ("exp_1", "experiment", "trace_old"),
    ("trace_old", "shadow", "trace_shadow"),
    ("trace_old", "kept_as", "resp_1"),
    ("trace_old", "judged_by", "fb_1"),
    ("trace_old", "row", "file-train"),
    ("fb_1", "row", "file-train"),
    ("trace_old", "row", "evalrun_1"),
    ("file-train", "trained_on", "ftjob-1"),
    ("file-held", "evaluated_on", "ftjob-1"),
    (BASE, "base", ADAPTER),
    ("ftjob-1", "made", ADAPTER),
    ("ftjob-1", "saved", "ftckpt_1"),
    ("ftckpt_1", "made", ADAPTER),
    ("ftjob-1", "result", "file-receipt"),
    (ADAPTER, "candidate", "gate_1"),
    (BASE, "champion", "gate_1"),
    ("file-held", "compared_on", "gate_1"),
    ("gate_1", "decided", "assistant@2"),
    (ADAPTER, "moved_to", "assistant@2"),
    (BASE, "moved_to", "assistant@1"),
    (POLITE, "moved_to", "assistant@2"),
    ("assistant@2", "stands_at", "assistant"),
    ("assistant@2", "in_force", "trace_new"),
    (ADAPTER, "answered_by", "trace_new"),
    ("eval_1", "run", "evalrun_1"),
    ("file-evals", "items", "evalrun_1"),
    (BASE, "answered_by", "evalrun_1"),
    (ADAPTER, "answered_by", "evalrun_2"),
    ("evalrun_1", "baseline", "evalcmp_1"),
    ("evalrun_2", "candidate", "evalcmp_1"),
    (BASE, "arm", "exp_1"),
    (POLITE, "arm", "exp_1"),
    ("exp_1", "candidate", "gate_2"),
    ("file-held", "compared_on", "gate_2"),
    ("monitor_1", "looked", "drift_1"),
    ("drift_1", "row", "file-topic"),
    ("drift_1", "raised", "alert_1"),
    ("monitor_1", "raised", "alert_1"),
    ("exp_1", "raised", "alert_2"),
}


@pytest.mark.parametrize("direction", ["backward", "forward"])
def test_each_link_is_found_from_either_end(database: Database, direction: Direction) -> None:
    with database.session() as session:
        add_loop(session)
    with database.session(read_only=True) as session:
        for source, kind, target in LINKS:
            name = target if direction == "backward" else source
            root = Node(type_of(name) or _NAMED[name], name)
            found = walk(session, root, Bounds(depth=1), direction)
            assert (source, kind, target) in {
                (link.source.id, link.kind, link.target.id) for link in found.links
            }


def test_nothing_else_is_found(database: Database) -> None:
    with database.session() as session:
        add_loop(session)
    names = {name for source, _, target in LINKS for name in (source, target)}
    more = {("eval_1", "run", "evalrun_2"), ("file-evals", "items", "evalrun_2")}
    more |= {(BASE, "answered_by", "trace_shadow")}
    with database.session(read_only=True) as session:
        for name in names:
            root = Node(type_of(name) or _NAMED[name], name)
            found = walk(session, root, Bounds(), "backward", "forward")
            told = {(link.source.id, link.kind, link.target.id) for link in found.links}
            assert told <= LINKS | more
            assert not found.left_out


def test_types_are_those_of_the_ends(database: Database) -> None:
    with database.session() as session:
        add_loop(session)
    with database.session(read_only=True) as session:
        found = walk(session, Node("trace", "trace_new"), Bounds(), "backward")
        alert = walk(session, Node("alert", "alert_2"), Bounds(), "backward")
    assert {node.id: node.type for node in found.nodes} == {
        node.id: type_of(node.id) or _NAMED[node.id] for node in found.nodes
    }
    assert Node("experiment", "exp_1") in alert.nodes
