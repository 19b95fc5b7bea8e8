"""What a walk begins at: any id or name that Everloop gave."""

from collections.abc import Collection
from typing import TYPE_CHECKING, Final

from sqlalchemy import select

from cluster.records import (
    Alias,
    AliasMove,
    LineageEdge,
)
from cluster.tenancy import acting_project
from deployments.errors import NotFound
from deployments.lineage.describing import describe
from deployments.lineage.node import PREFIXES, Node, type_of
from deployments.prompts.versions import find_version
from deployments.tracing.finding import trace_of_request

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["find_root"]

_DIGEST: Final = 12


def find_root(session: "Session", name: str, models: Collection[str], default_alias: str) -> Node:
    """The thing of that id or name. Raises NotFound that says which ids there are.

    A deleted thing is found while something else is known of it. The default alias stands for the
    first model until it is moved.
    """
    type_ = type_of(name)
    node = _named(session, name, models) if type_ is None else Node(type_, name)
    if node is None and name == default_alias:
        node = Node("model", next(iter(models)))
    node = node or _trace(session, name)
    if node is None or not _is_known(session, node):
        known = ", ".join(f"{prefix}…" for prefix in PREFIXES)
        raise NotFound(
            f"Nothing is known of {name[:128]!r}. Lineage is told of the ids {known}, of requests "
            "(x-request-id) and chat completions, of a file in a store (vs_…/file-…), and of the "
            "names of models, aliases (NAME, or NAME@MOVE) and prompts (NAME, or NAME@VERSION, "
            "NAME@LABEL, NAME@DIGEST).",
            param="id",
            code="not_found",
        )
    return node


def _named(session: "Session", name: str, models: Collection[str]) -> Node | None:
    """The model, alias, move of an alias, or version of a prompt of that name, in this order."""
    if name in models:
        return Node("model", name)
    if session.get(Alias, (acting_project(), name)) is not None:
        return Node("alias", name)
    base, _, version = name.partition("@")
    if version.isdecimal() and len(version) < _DIGEST:
        move = select(AliasMove.number).where(
            AliasMove.alias == base,
            AliasMove.version == int(version),
        )
        if session.scalar(move) is not None:
            return Node("alias.move", name)
    return _prompt(session, base, version)


def _prompt(session: "Session", name: str, version: str) -> Node | None:
    row = find_version(session, name, version or None)
    return None if row is None else Node("prompt", f"{row.name}@{row.digest}")


def _trace(session: "Session", name: str) -> Node | None:
    found = trace_of_request(session, name)
    return None if found is None else Node("trace", found)


def _is_known(session: "Session", node: Node) -> bool:
    if node.id in describe(session, node.type, [node.id]):
        return True
    edge = select(LineageEdge.kind).where(
        (LineageEdge.source == node.id) | (LineageEdge.target == node.id),
    )
    return session.scalar(edge.limit(1)) is not None
