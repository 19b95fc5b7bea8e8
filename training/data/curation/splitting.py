"""Which groups of rows are held out."""

from collections.abc import Iterable
from hashlib import sha256
from typing import NamedTuple

__all__ = ["Group", "held_out"]


class Group(NamedTuple):
    """Rows that must not be parted."""

    key: bytes
    """What the rows say, not where they stand: the split does not depend on the rows' order."""
    lines: tuple[int, ...]


def held_out(groups: Iterable[Group], share: float, seed: int) -> list[Group]:
    """The groups for validation: in the order of a seeded hash, as many as fit into the share.

    At least one row is held out, unless nothing would be left to train on or the smallest group is
    more than half of all rows. At least one is left to train on, however large the share.
    """
    ranked = sorted(groups, key=lambda group: _rank(group.key, seed))
    rows = sum(len(group.lines) for group in ranked)
    room = min(rows - 1, max(1, round(share * rows))) if share > 0 and len(ranked) > 1 else 0
    chosen: list[Group] = []
    for group in ranked:
        if len(group.lines) <= room:
            chosen.append(group)
            room -= len(group.lines)
    if room and not chosen:
        smallest = min(ranked, key=lambda group: len(group.lines))
        if 2 * len(smallest.lines) <= rows:
            chosen.append(smallest)
    return chosen


def _rank(key: bytes, seed: int) -> bytes:
    return sha256(b"%d:%b" % (seed, key)).digest()
