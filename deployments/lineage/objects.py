"""What `/v1/lineage` answers."""

from collections import defaultdict
from collections.abc import Collection
from typing import TYPE_CHECKING, Any, Literal

from pydantic import BaseModel

from deployments.lineage.describing import Described, describe
from deployments.lineage.node import Node
from deployments.lineage.walk import Walk

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["LineageEdgeObject", "LineageNodeObject", "LineageObject"]


class LineageNodeObject(BaseModel):
    """A thing."""

    id: str
    type: str
    """As `object` of the thing itself."""
    title: str | None
    created_at: int | None
    summary: dict[str, Any]
    missing: bool
    """It was deleted; what others say of it is left."""


class LineageEdgeObject(BaseModel):
    """`source` had a part in `target`; `kind` says which."""

    source: str
    target: str
    kind: str


class LineageObject(BaseModel):
    """What a thing was made of, and what it had a part in."""

    object: Literal["lineage"] = "lineage"
    root: str
    direction: Literal["backward", "forward", "both"]
    nodes: list[LineageNodeObject]
    """The root, then what is nearest."""
    edges: list[LineageEdgeObject]
    truncated: bool
    """Whether the bounds kept anything out."""
    left_out: dict[str, int]
    """How many edges were not followed then, by the type of what they lead to."""

    @classmethod
    def of(
        cls,
        session: "Session",
        root: Node,
        walk: Walk,
        direction: Literal["backward", "forward", "both"],
        types: Collection[str],
    ) -> "LineageObject":
        """Describe what a walk came to; of the root and of `types` only, where any are given."""
        shown = dict.fromkeys(
            node for node in walk.nodes if not types or node.type in types or node == root
        )
        by_type: dict[str, list[str]] = defaultdict(list)
        for node in shown:
            by_type[node.type].append(node.id)
        told = {type_: describe(session, type_, ids) for type_, ids in by_type.items()}
        return cls(
            root=root.id,
            direction=direction,
            nodes=[_node(node, told[node.type].get(node.id)) for node in shown],
            edges=[
                LineageEdgeObject(source=link.source.id, target=link.target.id, kind=link.kind)
                for link in walk.links
                if link.source in shown and link.target in shown
            ],
            truncated=bool(walk.left_out),
            left_out=dict(walk.left_out),
        )


def _node(node: Node, described: Described | None) -> LineageNodeObject:
    found = described or Described(gone=True)
    return LineageNodeObject(
        id=node.id,
        type=node.type,
        title=found.title,
        created_at=found.created_at,
        summary=dict(found.summary),
        missing=found.gone,
    )
