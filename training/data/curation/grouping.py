"""Marks that belong together: duplicates, near-duplicates, answers to one question."""

from collections import defaultdict
from collections.abc import Hashable, Iterable, Sequence

from training.data.curation.marking import Mark
from training.data.curation.signatures import Neighbours
from training.data.settings import NearDuplicateSettings

__all__ = ["Groups", "equal_texts", "leaders", "near_pairs"]


class Groups:
    """Joins lines into groups, each named by its first line (union-find)."""

    def __init__(self, lines: Iterable[int]) -> None:
        self._parents = {line: line for line in lines}

    def join(self, one: int, other: int) -> None:
        """Make one group of the groups of two lines."""
        first, second = sorted((self.name(one), self.name(other)))
        self._parents[second] = first

    def join_equal(self, keys: Iterable[tuple[int, Hashable]]) -> None:
        """Join the lines that have an equal key."""
        seen: dict[Hashable, int] = {}
        for line, key in keys:
            self.join(seen.setdefault(key, line), line)

    def name(self, line: int) -> int:
        """The first line of the line's group."""
        parents = self._parents
        while parents[line] != line:
            parents[line] = line = parents[parents[line]]
        return line

    def all(self) -> dict[int, list[int]]:
        """Every group by its name, its lines in order."""
        found: dict[int, list[int]] = defaultdict(list)
        for line in sorted(self._parents):
            found[self.name(line)].append(line)
        return dict(found)


def equal_texts(marks: Sequence[Mark]) -> dict[int, list[int]]:
    """Lines by the first line that says the same."""
    firsts: dict[bytes, int] = {}
    found: dict[int, list[int]] = defaultdict(list)
    for mark in marks:
        found[firsts.setdefault(mark.text, mark.line)].append(mark.line)
    return dict(found)


def leaders(marks: Sequence[Mark], settings: NearDuplicateSettings) -> dict[int, list[int]]:
    """Lines by the first line, itself a leader, that they are near to."""
    neighbours = Neighbours(settings)
    found: dict[int, list[int]] = {}
    for mark in marks:
        near = neighbours.near(mark.signature)
        if near:
            found[near[0]].append(mark.line)
        else:
            neighbours.add(mark.line, mark.signature)
            found[mark.line] = [mark.line]
    return found


def near_pairs(marks: Sequence[Mark], settings: NearDuplicateSettings) -> Iterable[tuple[int, int]]:
    """Pairs of lines that connect all near-duplicates; not every pair of them."""
    neighbours = Neighbours(settings)
    same: dict[bytes, int] = {}
    for mark in marks:
        first = same.setdefault(mark.signature, mark.line)
        if first != mark.line:
            yield first, mark.line
            continue
        for line in neighbours.near(mark.signature):
            yield line, mark.line
        neighbours.add(mark.line, mark.signature)
