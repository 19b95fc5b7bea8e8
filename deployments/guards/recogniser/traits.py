"""What of a text the recogniser weighs: which concepts stand in it, and which after which.

A trait is a number below `TRAITS`. Words themselves are no traits: a sentence in words that were
never seen has the traits of one that says the same.
"""

from collections.abc import Iterator, Sequence
from typing import Final

from deployments.guards.recogniser.lexicon import Meaning

__all__ = ["LONGEST_PART", "TRAITS", "traits", "windows"]

_CONCEPTS: Final = 80
"""More than there are."""
_NEAR, _FAR = 3, 8
"""Places within which one concept stands close to another, and within which it stands near."""
_ORDERED: Final = _CONCEPTS * _CONCEPTS
_TRIPLES: Final = 1 << 14
TRAITS: Final = _CONCEPTS * 2 + 3 * _ORDERED + _TRIPLES + 16
LONGEST_PART: Final = 28
"""Words and signs that are weighed together; longer sentences are read in overlapping parts."""
_STRIDE: Final = 14


def windows(read: Sequence[Meaning]) -> Iterator[Sequence[Meaning]]:
    """The parts of a sentence that are weighed together; the sentence where it is short."""
    if len(read) <= LONGEST_PART:
        yield read
        return
    for start in range(0, len(read) - _STRIDE, _STRIDE):
        yield read[start : start + LONGEST_PART]


def traits(read: Sequence[Meaning]) -> set[int]:
    """The traits of a part of a text."""
    found: set[int] = set()
    placed = [(at, c) for at, meaning in enumerate(read) for c in meaning if c]
    base = _CONCEPTS * 2
    for number, (at, first) in enumerate(placed):
        found.add(first)
        if at == 0:
            found.add(_CONCEPTS + first)
        row = first * _CONCEPTS
        for other in range(number + 1, len(placed)):
            place, second = placed[other]
            gap = place - at
            if not gap:
                continue
            bucket = 0 if gap <= _NEAR else 1 if gap <= _FAR else 2
            found.add(base + bucket * _ORDERED + row + second)
    base += 3 * _ORDERED
    telling = [meaning for meaning in read if meaning and meaning[0]]
    for one, two, three in zip(telling, telling[1:], telling[2:], strict=False):
        for a in one:
            for b in two:
                for c in three:
                    found.add(base + ((a * 6007 + b) * 6007 + c) % _TRIPLES)
    base += _TRIPLES
    found.add(base + min(7, len(read) // 4))
    found.add(base + 8 + (7 * len(telling)) // max(1, len(read)))
    return found
