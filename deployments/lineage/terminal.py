"""Lineage in the terminal: a tree from the thing that was asked for."""

from collections import Counter, defaultdict
from collections.abc import Mapping
from typing import Any, Final

from rich.console import Console
from rich.text import Text
from rich.tree import Tree

__all__ = ["print_lineage"]

_ALIKE: Final = 5
"""Things of one type that are shown under one thing, each with its own; of others the count."""
_TITLE: Final = 72


def print_lineage(console: Console, found: Mapping[str, Any], *, as_list: bool) -> None:
    """Print a `LineageObject`: a thing that several lead to is told in full once."""
    nodes = {node["id"]: node for node in found["nodes"]}
    if as_list:
        for node in found["nodes"][1:]:
            console.print(_label(node), soft_wrap=True)
    else:
        console.print(_Drawing(found, nodes).tree(), crop=False, no_wrap=True, overflow="ignore")
    if found["left_out"]:
        told = ", ".join(f"{count} to {type_}" for type_, count in found["left_out"].items())
        console.print(
            f"Left out by the bounds, links: {told}. --depth and --limit widen them.",
            style="yellow",
            highlight=False,
        )


class _Drawing:
    """A graph drawn as a tree."""

    def __init__(self, found: Mapping[str, Any], nodes: Mapping[str, Mapping[str, Any]]) -> None:
        self._root: str = found["root"]
        self._nodes = nodes
        self._drawn = {self._root}
        self._next: dict[str, list[tuple[str, str]]] = defaultdict(list)
        near, far = (
            ("source", "target") if found["direction"] == "forward" else ("target", "source")
        )
        for edge in found["edges"]:
            self._next[edge[near]].append((edge["kind"], edge[far]))

    def tree(self) -> Tree:
        """Draw it, breadth first, so that each thing stands where it is nearest to the root."""
        top = Tree(_label(self._nodes[self._root]), highlight=False)
        waiting = [(self._root, top)]
        while waiting:
            name, branch = waiting.pop(0)
            waiting += self._branch(name, branch)
        return top

    def _branch(self, name: str, branch: Tree) -> list[tuple[str, Tree]]:
        shown: Counter[tuple[str, str]] = Counter()
        grown: list[tuple[str, Tree]] = []
        for kind, other in self._next[name]:
            alike = (kind, self._nodes[other]["type"])
            shown[alike] += 1
            if shown[alike] > _ALIKE:
                continue
            if other in self._drawn:
                branch.add(_label(self._nodes[other], kind, again=True))
                continue
            self._drawn.add(other)
            grown.append((other, branch.add(_label(self._nodes[other], kind))))
        for (kind, type_), count in shown.items():
            if count > _ALIKE:
                more = f"{kind}: and {count - _ALIKE} more of type {type_}"
                branch.add(Text(more, style="dim"))
        return grown


def _label(node: Mapping[str, Any], kind: str = "", *, again: bool = False) -> Text:
    """Its kind of link, type and id; then its title, unless that stands elsewhere in the tree."""
    label = Text(no_wrap=True, overflow="ignore")
    if kind:
        label.append(f"{kind}: ", style="dim")
    label.append(f"{node['type']} ", style="cyan")
    label.append(node["id"], style="" if again else "bold")
    if node["missing"]:
        label.append(" deleted", style="red")
    if again:
        label.append(" (see there)", style="dim")
    elif title := _title(node):
        label.append(f"\n{title}", style="dim")
    return label


def _title(node: Mapping[str, Any]) -> str:
    title = " ".join((node["title"] or "").split())
    if title == node["id"]:
        return ""
    return title if len(title) <= _TITLE else title[: _TITLE - 1] + "…"
