"""From one thing to all that it was made of, or had a part in: breadth first, bounded."""

from collections import Counter, defaultdict
from collections.abc import Collection, Iterable
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Final

from deployments.lineage.node import Direction, Link, Node
from deployments.lineage.relation import Found
from deployments.lineage.relations import RELATIONS

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["MOST_NODES", "Bounds", "Walk", "walk"]

MOST_NODES: Final = 2000
"""Of one walk, whatever is asked for."""


@dataclass(frozen=True, slots=True)
class Bounds:
    """How far a walk goes."""

    depth: int = 16
    """Links from the root to the farthest thing."""
    per_type: int = 200
    """Things of one type, the newest of each step."""
    nodes: int = MOST_NODES


@dataclass(slots=True)
class Walk:
    """What was come to."""

    nodes: dict[Node, None] = field(default_factory=dict)
    """The root, then what is nearest."""
    links: dict[Link, None] = field(default_factory=dict)
    """Between those nodes."""
    left_out: Counter[str] = field(default_factory=Counter)
    """Links that were not followed because of the bounds, by the type of their far end."""


def walk(session: "Session", root: Node, bounds: Bounds, *directions: Direction) -> Walk:
    """Walk from `root` in each direction for itself: causes of causes, effects of effects.

    One query for each relation and step, however many things there are. Nothing is visited twice.
    """
    found = Walk({root: None})
    for direction in directions:
        frontier, seen = [root], {root}
        for step in range(bounds.depth + 1):
            links = _steps(session, frontier, direction, found)
            reached = _new(links, seen, direction)
            kept = _within(reached, found, bounds) if step < bounds.depth else []
            seen.update(kept)
            for link in links:
                if link.end(direction) in seen:
                    found.links[link] = None
                else:
                    found.left_out[link.end(direction).type] += 1
            found.nodes.update(dict.fromkeys(kept))
            frontier = kept
            if not frontier:
                break
    return found


def _steps(
    session: "Session", frontier: Iterable[Node], direction: Direction, walk: Walk
) -> list[Link]:
    ids: dict[str, list[str]] = defaultdict(list)
    for node in frontier:
        ids[node.type].append(node.id)
    links: list[Link] = []
    for relation in RELATIONS:
        found: Found = relation.find(session, ids, direction, MOST_NODES)
        links += found.links
        walk.left_out += found.more
    return links


def _new(links: Iterable[Link], seen: Collection[Node], direction: Direction) -> list[Node]:
    ends = dict.fromkeys(link.end(direction) for link in links)
    return [end for end in ends if end not in seen]


def _within(reached: Iterable[Node], walk: Walk, bounds: Bounds) -> list[Node]:
    """Those for which there is room, of each type in turn: many of one leave none out of another.

    What the other direction came to already takes none.
    """
    counts = Counter(node.type for node in walk.nodes)
    kept: list[Node] = []
    for node in _in_turn(reached):
        if node in walk.nodes:
            kept.append(node)
        elif counts[node.type] < bounds.per_type and counts.total() < bounds.nodes:
            counts[node.type] += 1
            kept.append(node)
    return kept


def _in_turn(nodes: Iterable[Node]) -> list[Node]:
    """The first of each type, then the second of each, and so on."""
    turns: Counter[str] = Counter()
    ranked: list[tuple[int, Node]] = []
    for node in nodes:
        ranked.append((turns[node.type], node))
        turns[node.type] += 1
    return [node for _, node in sorted(ranked, key=lambda item: item[0])]
