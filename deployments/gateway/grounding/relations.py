"""Who does what to whom, where one name stands before the words of it and another behind."""

import re
from collections.abc import Iterable, Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from deployments.gateway.grounding.terms import STOPWORDS, Token, stem

__all__ = ["Relation", "relations_of", "swapped"]

_MUTUAL: Final = frozenset(
    stem(word)
    for word in ("marry", "meet", "met", "border", "resemble", "equal", "join", "neighbour")
)
"""Terms of relations that hold both ways."""
_WORDS: Final = 4
"""Most words between the two names."""
_BREAK: Final = re.compile(r"[.,;:!?()|\n]")


class Relation(NamedTuple):
    """Two names and the terms between them: `{anna} (invit,) {ben}`."""

    subject: frozenset[str]
    words: tuple[str, ...]
    object: frozenset[str]


def relations_of(text: str, tokens: Sequence[Token]) -> frozenset[Relation]:
    """Read the relations of `text`, each between two runs of capitals that follow one another."""
    found = set()
    for left, right in pairwise(_runs(tokens)):
        between = tokens[left[-1] + 1 : right[0]]
        content = {token.term for token in between if token.is_content}
        said = text[tokens[left[-1]].end : tokens[right[0]].start]
        if len(between) > _WORDS or not content or content & _MUTUAL or _BREAK.search(said):
            continue
        subject, other = (frozenset(tokens[i].term for i in run) for run in (left, right))
        found.add(Relation(subject, tuple(token.term for token in between), other))
    return frozenset(found)


def swapped(claim: frozenset[Relation], source: Iterable[Relation]) -> Relation | None:
    """A relation of the claim that the source has the other way round, in the same words.

    Other words may turn it back («was invited by»), so that nothing is said of them.
    """
    theirs = frozenset(source)
    for mine in claim - theirs:
        for other in theirs:
            turned = mine.subject & other.object and mine.object & other.subject
            if turned and mine.words == other.words:
                return mine
    return None


def _runs(tokens: Sequence[Token]) -> list[list[int]]:
    """Positions of capitals that stand side by side."""
    runs: list[list[int]] = []
    for position, token in enumerate(tokens):
        if not token.text[0].isupper() or token.text.casefold() in STOPWORDS:
            continue
        if runs and runs[-1][-1] == position - 1:
            runs[-1].append(position)
        else:
            runs.append([position])
    return runs
