"""A passage as what a sentence can be held against: its sentences, their terms and facts."""

from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass
from functools import cached_property
from typing import Final

from deployments.gateway.grounding.facts import Facts, facts_of, is_anaphoric
from deployments.gateway.grounding.terms import tokenize
from ingestion.sentences import sentence_spans

__all__ = ["Source", "SourcePassage", "Window"]

_BACKWARDS: Final = 2
"""Sentences before one that opens with «it», «this»… whose subject it may speak of."""
_SUBJECT_TERMS: Final = 2


@dataclass(frozen=True, slots=True)
class SourcePassage:
    """What attribution needs to know of a passage that was in the prompt."""

    index: int
    """Its position among the passages in the prompt, from 0."""
    text: str
    around: str = ""
    """Titles above it and its file's name: what it is about without saying so."""


@dataclass(frozen=True, slots=True)
class Window:
    """One sentence of a passage: `passage.text[start:end]`."""

    passage: int
    start: int
    end: int
    text: str
    terms: tuple[str, ...]
    """Content terms in order."""
    facts: Facts
    inherited: frozenset[str]
    """Terms of the titles and, where it points back, of the sentences before."""


class Source:
    """The passages of one answer, cut once."""

    def __init__(self, passages: Sequence[SourcePassage]) -> None:
        self.passages: Final = tuple(passages)

    @cached_property
    def windows(self) -> tuple[tuple[Window, ...], ...]:
        """The sentences of each passage."""
        return tuple(_windows(passage) for passage in self.passages)

    @cached_property
    def folded(self) -> tuple[str, ...]:
        """Each passage as its words only, for verbatim matches."""
        return tuple(
            " " + " ".join(t.text.casefold() for t in tokenize(p.text)) + " " for p in self.passages
        )

    @cached_property
    def document_frequency(self) -> Counter[str]:
        """In how many sentences each term stands."""
        counts: Counter[str] = Counter()
        for windows in self.windows:
            for window in windows:
                counts.update(set(window.terms))
        return counts

    @cached_property
    def size(self) -> int:
        """Number of sentences."""
        return sum(len(windows) for windows in self.windows)


def _windows(passage: SourcePassage) -> tuple[Window, ...]:
    around = frozenset(token.term for token in tokenize(passage.around))
    windows: list[Window] = []
    for start, end in sentence_spans(passage.text):
        text = passage.text[start:end]
        tokens = tokenize(text)
        inherited = around
        facts = facts_of(text, tokens)
        if is_anaphoric(tokens, facts):
            for before in windows[-_BACKWARDS:]:
                inherited |= _subject(before)
        windows.append(
            Window(
                passage.index,
                start,
                end,
                text,
                tuple(token.term for token in tokens if token.is_content),
                facts,
                inherited,
            )
        )
    return tuple(windows)


def _subject(window: Window) -> frozenset[str]:
    """Return what the next sentence may speak of as «it»: names, and the opening words."""
    opening = {*window.terms[:_SUBJECT_TERMS], window.facts.first_word or ""}
    return window.facts.names | opening
