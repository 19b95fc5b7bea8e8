"""Blocked terms, whatever is done to disguise them."""

import re
from collections.abc import Iterator, Sequence
from typing import Final

from deployments.evaluation.metrics.disguises import WORD, fold, origins, written_words
from deployments.guards.aside import aside, still_wanted
from deployments.guards.verdict import Finding, Place, Source, Span

__all__ = ["BlockedTermsCheck"]

_KIND: Final = "BLOCKED_TERM"
_WORDS: Final = re.compile(r"\S+")


class BlockedTermsCheck:
    """Finds words and phrases of a list."""

    name = "blocked_terms"
    sources = frozenset({Source.ASKED, Source.SAID})
    needs_whole = False

    def __init__(self, terms: Sequence[str]) -> None:
        self._terms: Final[dict[str, list[tuple[str, ...]]]] = {}
        for term in terms:
            words = tuple(WORD.findall(fold(term)))
            self._terms.setdefault(words[0], []).append(words)
        self._longest: Final = max(
            (len(words) for terms in self._terms.values() for words in terms), default=0
        )

    async def find(self, text: str, place: Place) -> Finding:
        """See Check."""
        del place
        spans = await aside(self._spans, text)
        return Finding(1.0, (self.name,), spans) if spans else Finding()

    def _spans(self, text: str) -> tuple[Span, ...]:
        folded = fold(text)
        places = sorted(self._places(folded))
        if not places:
            return ()
        begins = origins(text, folded)
        spans: list[Span] = []
        for start, end in places:
            span = Span(begins[start], begins[end], _KIND)
            if not spans or span.start >= spans[-1].end:
                spans.append(span)
        return tuple(spans)

    def undecided(self, text: str) -> int:
        """See Check: the last words, as many as the longest term has."""
        begin, counted = len(text), 0
        for word in reversed(list(_WORDS.finditer(text))):
            if counted == self._longest:
                break
            begin = word.start()
            counted += len(word.group()) > 1  # single letters may spell one
        return begin

    async def warm_up(self) -> None:
        """See Check."""

    def _places(self, folded: str) -> Iterator[tuple[int, int]]:
        words = list(written_words(folded))
        for position, word in enumerate(words):
            still_wanted()
            for form in word.forms:
                for term in self._terms.get(form, ()):
                    following = words[position : position + len(term)]
                    if len(following) == len(term) and all(
                        part in one.forms for part, one in zip(term, following, strict=True)
                    ):
                        yield word.start, following[-1].end
