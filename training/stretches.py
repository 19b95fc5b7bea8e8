"""Documents that begin alike, laid out so that what they share is computed once.

Under causal attention the states of a prefix depend on nothing behind it. So a system prompt that a
row's questions share, or the prompt that a preferred and a rejected answer share, needs one forward
and one backward pass for all of them; the gradients of those behind it add up in its keys and
values. The documents become a tree of stretches, each of which attends to itself and to those that
it goes on from: `training.attention` does so.
"""

from collections.abc import Sequence
from dataclasses import dataclass
from itertools import takewhile
from typing import Final

__all__ = ["Layout", "Stretch", "apart", "shared"]

_WORTH: Final = 8
"""Tokens that sharing must save to be worth the stretch of its own."""


@dataclass(frozen=True, slots=True)
class Stretch:
    """Neighbouring tokens of a row that go on from another stretch, or begin a document."""

    length: int
    before: tuple[int, ...] = ()
    """The stretches that precede it in its documents, from the first on, by their place."""


@dataclass(frozen=True, slots=True)
class Layout:
    """Where the tokens of documents stand in a row."""

    stretches: tuple[Stretch, ...]
    """In the order of the row."""
    paths: tuple[tuple[int, ...], ...]
    """For each document, the stretches that it is made of."""


def apart(lengths: Sequence[int]) -> Layout:
    """Each document by itself."""
    return Layout(
        tuple(Stretch(length) for length in lengths),
        tuple((place,) for place in range(len(lengths))),
    )


def shared(documents: Sequence[Sequence[int]]) -> Layout:
    """Documents that begin with the same tokens share a stretch, where that saves enough."""
    stretches: list[Stretch] = []
    paths: list[tuple[int, ...]] = [()] * len(documents)

    def lay(group: list[int], start: int, before: tuple[int, ...]) -> None:
        """Place what `group` has from `start` on, all of it behind the stretches `before`."""
        common = _alike([documents[i] for i in group])
        if len(group) == 1 or (common - start) * (len(group) - 1) >= _WORTH:
            if common > start:
                stretches.append(Stretch(common - start, before))
                before = (*before, len(stretches) - 1)
            start = common
        followers: dict[int, list[int]] = {}
        for i in group:
            if len(documents[i]) > common:
                followers.setdefault(documents[i][common], []).append(i)
            elif common > start:
                stretches.append(Stretch(common - start, before))
                paths[i] = (*before, len(stretches) - 1)
            else:
                paths[i] = before
        for part in followers.values():
            lay(part, start, before)

    if documents:
        lay(list(range(len(documents))), 0, ())
    return Layout(tuple(stretches), tuple(paths))


def _alike(documents: Sequence[Sequence[int]]) -> int:
    """How many tokens all of them begin with: those that the first and last in order do."""
    pairs = zip(min(documents, key=tuple), max(documents, key=tuple), strict=False)
    return sum(1 for _ in takewhile(lambda pair: pair[0] == pair[1], pairs))
