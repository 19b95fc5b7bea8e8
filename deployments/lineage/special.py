"""Links that more than a column or a list tells: written edges, files in stores, moves in force."""

from collections import defaultdict
from collections.abc import Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING

from sqlalchemy import select

from cluster.records import AliasMove, LineageEdge, Trace, VectorStoreFile
from deployments.lineage.edges import store_file_id
from deployments.lineage.node import Direction, Link, Node, type_of
from deployments.lineage.relation import Found, Ids, bounded

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["FilesInStores", "MovesInForce", "WrittenEdges", "move_id"]


def move_id(alias: str, version: int) -> str:
    """A move's id, as `/v1/aliases/{name}/history` gives it."""
    return f"{alias}@{version}"


@dataclass(frozen=True, slots=True)
class WrittenEdges:
    """What `deployments.lineage.edges` wrote."""

    def find(self, session: "Session", ids: Ids, direction: Direction, limit: int) -> Found:
        """See `Relation`. A far end whose id tells no type is left out."""
        column = LineageEdge.source if direction == "forward" else LineageEdge.target
        wanted = [name for names in ids.values() for name in names if type_of(name) is not None]
        if not wanted:
            return Found()
        query = (
            select(LineageEdge.source, LineageEdge.target, LineageEdge.kind)
            .where(column.in_(wanted))
            .order_by(LineageEdge.created_at.desc(), LineageEdge.target.desc(), LineageEdge.source)
        )
        rows, more = bounded(session, query, limit)
        links = [
            Link(Node(source_type, source), Node(target_type, target), kind)
            for source, target, kind in rows
            if (source_type := type_of(source)) and (target_type := type_of(target))
        ]
        return Found().add(links, more, direction)


@dataclass(frozen=True, slots=True)
class FilesInStores:
    """A file and a vector store make a file in that store."""

    def find(self, session: "Session", ids: Ids, direction: Direction, limit: int) -> Found:
        """See `Relation`."""
        if direction == "backward":
            parts = [name.partition("/") for name in ids.get("vector_store.file", ())]
            links = [link for store, _, file in parts for link in _of_store_file(store, file)]
            return Found(links)
        files, stores = ids.get("file", ()), ids.get("vector_store", ())
        if not files and not stores:
            return Found()
        query = (
            select(VectorStoreFile.store_id, VectorStoreFile.file_id)
            .where(
                VectorStoreFile.file_id.in_(files) | VectorStoreFile.store_id.in_(stores),
            )
            .order_by(VectorStoreFile.number.desc())
        )
        rows, more = bounded(session, query, limit)
        wanted = {*files, *stores}
        links = [
            link
            for store, file in dict.fromkeys(map(tuple, rows))
            for link in _of_store_file(store, file)
            if link.source.id in wanted
        ]
        return Found().add(links, more, direction)


def _of_store_file(store: str, file: str) -> tuple[Link, Link]:
    target = Node("vector_store.file", store_file_id(store, file))
    return (
        Link(Node("file", file), target, "ingested"),
        Link(Node("vector_store", store), target, "holds"),
    )


@dataclass(frozen=True, slots=True)
class MovesInForce:
    """The move of an alias by which a request to it was answered."""

    def find(self, session: "Session", ids: Ids, direction: Direction, limit: int) -> Found:
        """See `Relation`."""
        if direction == "backward":
            return self._of_traces(session, ids.get("trace", ()))
        return self._traces_of(session, ids.get("alias.move", ()), limit)

    def _of_traces(self, session: "Session", traces: Sequence[str]) -> Found:
        if not traces:
            return Found()
        asked = session.execute(
            select(Trace.id, Trace.alias, Trace.model, Trace.created_at).where(Trace.id.in_(traces))
        ).all()
        moves = _moves(session, {alias for _, alias, _, _ in asked if alias is not None})
        links = []
        for trace, alias, model, at in asked:
            history = moves.get(alias or "", [])
            move = next((m for m in reversed(history) if m.created_at <= at), None)
            # An arm of an experiment, or what answered in the second before the move, is another.
            if move is not None and move.target == model:
                links.append(_in_force(move, trace))
        return Found(links)

    def _traces_of(self, session: "Session", names: Sequence[str], limit: int) -> Found:
        found = Found()
        moves = _moves(session, {name.rpartition("@")[0] for name in names})
        for history in moves.values():
            for move, following in zip(history, [*history[1:], None], strict=True):
                if move_id(move.alias, move.version) not in names:
                    continue
                query = (
                    select(Trace.id)
                    .where(
                        Trace.model == move.target,
                        Trace.alias == move.alias,
                        Trace.created_at >= move.created_at,
                    )
                    .order_by(Trace.id.desc())
                )
                if following is not None:
                    query = query.where(Trace.created_at < following.created_at)
                rows, more = bounded(session, query, limit)
                found.add([_in_force(move, trace) for (trace,) in rows], more, "forward")
        return found


def _moves(session: "Session", aliases: set[str]) -> dict[str, list[AliasMove]]:
    """The moves of these aliases, oldest first."""
    moves: dict[str, list[AliasMove]] = defaultdict(list)
    query = select(AliasMove).where(AliasMove.alias.in_(aliases))
    for move in session.scalars(query.order_by(AliasMove.version)):
        moves[move.alias].append(move)
    return moves


def _in_force(move: AliasMove, trace: str) -> Link:
    node = Node("alias.move", move_id(move.alias, move.version))
    return Link(node, Node("trace", trace), "in_force")
