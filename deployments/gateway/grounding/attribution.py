"""Each sentence of an answer tied to the passages that support it, or marked unsupported.

Three tiers, each asked only when the one before left the question open:

1. verbatim: the sentence's words stand in the passage one after the other;
2. terms: the passage's sentence holds (nearly) all of its content terms, rare ones counting more;
3. similarity: it holds many, and those it lacks have words of the same meaning in the passage, by
   the embedding model.

A sentence that nothing supports is *contradicted* where a passage says otherwise of the same thing
(`contradiction.py`), else *unverifiable*.

Before tiers 2 and 3 the facts are compared: another number, unit or name, a negation or an opposite
on one side only, and the passage does not support the sentence, however similar they are. Nothing
here depends on what the model wrote about its sources.
"""

import re
from collections.abc import Sequence
from dataclasses import dataclass
from typing import Final, Literal

from deployments.gateway.grounding.contradiction import find_contradictions
from deployments.gateway.grounding.facts import Facts, conflict, facts_of
from deployments.gateway.grounding.similarity import SimilarityBudget, WordSimilarity
from deployments.gateway.grounding.terms import tokenize, weigh, words
from deployments.gateway.grounding.windows import Source, SourcePassage, Window
from deployments.ports import TextEmbedder

__all__ = [
    "Attributor",
    "SentenceSupport",
    "Support",
    "SupportMethod",
    "Verdict",
    "groundedness",
]

SupportMethod = Literal["verbatim", "terms", "similarity", "facts", "judge"]
"""What found the place. `facts` and `judge` find what contradicts as well."""
Verdict = Literal["supported", "contradicted", "unverifiable"]

_MAX_SUPPORTS: Final = 3
_MAX_CANDIDATES: Final = 3
"""Passage sentences that the embedding model looks at per sentence."""
_DIRECT_COVERAGE: Final = 0.85
"""Weighted share of terms from which no similarity is asked."""
_SAME_SENTENCE: Final = 0.8
"""Cosine of two sentences from which they speak of the same thing, where their facts differ."""
_SENTENCE_CHARACTERS: Final = 2000
"""What is read of one sentence; models that never end one must not cost seconds."""
_LEAD_IN: Final = re.compile(
    r"""^(?:
        (?:according\sto|based\son|as\s(?:stated|mentioned)\sin|in)\s(?:the\s)?
        (?:given\s|provided\s)?(?:passages?|texts?|context|documents?|information|sources?)
        (?:\s?\[?\d+\]?)?(?:\s(?:provided|given|above))?\s?[,:]\s?
      | (?:the\s)?(?:passage|text|context|document)s?(?:\s\d+)?\s
        (?:says?|states?|mentions?|explains?|indicates?)\s(?:that\s)?
      | (?:the\s)?answer(?:\sto\s(?:the|this|your)\squestion)?\sis\s?:?\s(?=\S)
      | (?:yes|no|answer)\s?[,:.]\s+
      | passage\s\d+\s?:\s?
      | (?:[-*•]|\d{1,2}[.)])\s+
    )+""",
    re.IGNORECASE | re.VERBOSE,
)
_ARTICLES: Final = words("the a an it this that these those its their he she they")
_CLAUSES: Final = re.compile(r";\s+|,?\s+(?:and|but|while|whereas|und|aber|et|mais|y|pero)\s+")


@dataclass(frozen=True, slots=True)
class Support:
    """A place in a passage that supports a sentence: `passage.text[start:end]`."""

    passage: int
    score: float
    """0 to 1."""
    method: SupportMethod
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class SentenceSupport:
    """A sentence of the answer, `answer[start:end]`, and what supports it, best first."""

    start: int
    end: int
    supports: tuple[Support, ...]
    checkable: bool = True
    """False for what claims nothing («Here is the answer:»): it counts neither way."""
    reason: str = ""
    """Why nothing supports it, for the trace."""
    contradicted_by: Support | None = None
    """Where a passage says otherwise."""
    doubtful: tuple[Support, ...] = ()
    """Places that may support or contradict it, for a judge; best first."""

    @property
    def supported(self) -> bool:
        """Whether a passage supports it."""
        return bool(self.supports)

    @property
    def verdict(self) -> Verdict | None:
        """What the passages say of it; None for what claims nothing."""
        if not self.checkable:
            return None
        if self.supported:
            return "supported"
        return "unverifiable" if self.contradicted_by is None else "contradicted"


def groundedness(sentences: Sequence[SentenceSupport]) -> float | None:
    """Share of the checkable sentences that are supported; None where there is none."""
    checkable = [sentence for sentence in sentences if sentence.checkable]
    if not checkable:
        return None
    return sum(sentence.supported for sentence in checkable) / len(checkable)


@dataclass(frozen=True, slots=True)
class _Claim:
    text: str
    terms: tuple[str, ...]
    facts: Facts
    weights: dict[str, float]


class Attributor:
    """Attributes the sentences of one answer against the passages of its prompt.

    `similarity` is the cosine of tier 3, `overlap` the weighted share of terms (with words of the
    same meaning) that it asks for. Without an embedder the first two tiers decide alone. The
    embedder is asked for at most `SimilarityBudget` texts per answer; an embedder that is down or
    slow costs tier 3 and nothing else.
    """

    def __init__(
        self,
        passages: Sequence[SourcePassage],
        embedder: TextEmbedder | None = None,
        *,
        overlap: float = 0.60,
        similarity: float = 0.60,
        budget: SimilarityBudget | None = None,
    ) -> None:
        self._source: Final = Source(passages)
        self._overlap: Final = overlap
        self._similarity: Final = similarity
        self._words: Final = (
            None if embedder is None else WordSimilarity(embedder, budget or SimilarityBudget())
        )

    def warm_up(self) -> None:
        """Cut the passages now, on any thread; otherwise the first sentence does it."""
        _ = self._source.document_frequency, self._source.folded

    async def attribute(self, sentence: str, start: int = 0) -> SentenceSupport:
        """Find what supports `sentence`, which stands at `start` of the answer. Never raises."""
        end = start + len(sentence)
        claim = self._claim(_LEAD_IN.sub("", sentence[:_SENTENCE_CHARACTERS]))
        if not claim.terms:
            return SentenceSupport(start, end, (), checkable=False, reason="claims nothing")
        supports = self._verbatim(claim)
        if not supports:
            supports, borderline, reason = self._by_terms(claim)
            if not supports:
                supports = self._by_clauses(claim)
            if not supports and borderline and self._words is not None:
                supports = await self._by_similarity(claim, borderline)
            if not supports:
                return await self._unsupported(claim, start, end, reason, borderline)
        return SentenceSupport(start, end, _best(supports))

    async def _unsupported(
        self,
        claim: _Claim,
        start: int,
        end: int,
        reason: str,
        borderline: Sequence[tuple[float, Window]],
    ) -> SentenceSupport:
        """Contradicted or unverifiable, and what leaves room for doubt."""
        found = find_contradictions(claim.facts, claim.weights, self._source.windows)
        first = next((one for one in found if one.certain), None)
        method: SupportMethod = "facts"
        if first is None and found and self._words is not None:
            windows = [one.window.text for one in found[:_MAX_CANDIDATES]]
            cosines = await self._words.sentences(claim.text, windows)
            alike = zip(cosines, found, strict=False)
            first = next((one for cosine, one in alike if cosine >= _SAME_SENTENCE), None)
            method = "similarity"
        if first is not None:
            against = _support(first.window, first.share, method)
            return SentenceSupport(start, end, (), reason=first.reason, contradicted_by=against)
        near = [(one.share, one.window) for one in found] + list(borderline)
        near.sort(key=lambda pair: -pair[0])
        doubtful = _best([_support(window, share, "judge") for share, window in near])
        return SentenceSupport(start, end, (), reason=reason, doubtful=doubtful)

    def _claim(self, text: str) -> _Claim:
        tokens = tokenize(text)
        terms = tuple(token.term for token in tokens if token.is_content)
        source = self._source
        weights = weigh(terms, source.document_frequency, source.size)
        return _Claim(text, terms, facts_of(text, tokens), weights)

    def _verbatim(self, claim: _Claim) -> list[Support]:
        words = [token.text.casefold() for token in tokenize(claim.text)]
        if len(words) < 2 and not claim.facts.numbers and not claim.facts.names:
            return []
        needle = f" {' '.join(words)} "
        found = []
        for passage, folded in zip(self._source.passages, self._source.folded, strict=True):
            position = folded.find(needle)
            if position < 0:
                continue
            # A match may begin in mid-sentence behind a negation («not …»); facts see that.
            tokens = tokenize(passage.text)
            first = folded[: position + 1].count(" ") - 1
            start, end = tokens[first].start, tokens[first + len(words) - 1].end
            if not self._turned(claim, passage, start):
                found.append(Support(passage.index, 1.0, "verbatim", start, end))
        return found

    def _turned(self, claim: _Claim, passage: SourcePassage, start: int) -> bool:
        """Whether the sentence around the match negates what the claim affirms."""
        for window in self._source.windows[self._source.passages.index(passage)]:
            if window.start <= start < window.end:
                negated = window.facts.negated & frozenset(claim.terms)
                return bool(negated) and not claim.facts.has_negation
        return False

    def _by_terms(self, claim: _Claim) -> tuple[list[Support], list[tuple[float, Window]], str]:
        """Supports of tier 2, the windows for tier 3, and why the nearest window does not do."""
        supports: list[Support] = []
        borderline: list[tuple[float, Window]] = []
        nearest, reason = 0.0, "no passage speaks of it"
        for windows in self._source.windows:
            for window in windows:
                covered = _coverage(claim, window)
                if covered <= nearest / 2 and covered < self._overlap / 2:
                    continue
                why = conflict(claim.facts, window.facts, window.inherited)
                if covered > nearest:
                    nearest = covered
                    reason = f"other {why}" if why else f"terms {covered:.2f}"
                if why is not None:
                    continue
                if covered >= _DIRECT_COVERAGE:
                    supports.append(_support(window, covered, "terms"))
                elif covered >= self._overlap / 2:
                    borderline.append((covered, window))
        borderline.sort(key=lambda pair: -pair[0])
        return supports, borderline[:_MAX_CANDIDATES], reason

    def _by_clauses(self, claim: _Claim) -> list[Support]:
        """Support a sentence that joins what one passage says in several, clause by clause."""
        parts = [part for part in _CLAUSES.split(claim.text) if part.strip()]
        if len(parts) < 2:
            return []
        claims = [self._claim(part) for part in parts]
        if any(len(set(part.terms)) < 2 for part in claims):
            return []
        subject = claims[0].facts.names | {claims[0].facts.first_word or claims[0].terms[0]}
        found: list[Support] = []
        for windows in self._source.windows:
            places = [
                _place(part, windows, frozenset() if _has_subject(part) else subject)
                for part in claims
            ]
            if all(place is not None for place in places):
                held = [place for place in places if place is not None]
                score = min(score for score, _ in held)
                first = min((window for _, window in held), key=lambda w: w.start)
                last = max((window for _, window in held), key=lambda w: w.end)
                found.append(Support(first.passage, score, "terms", first.start, last.end))
        return found

    async def _by_similarity(
        self, claim: _Claim, borderline: list[tuple[float, Window]]
    ) -> list[Support]:
        assert self._words is not None  # noqa: S101 - the caller checked
        supports = []
        cosines = await self._words.sentences(claim.text, [w.text for _, w in borderline])
        for (_, window), cosine in zip(borderline, cosines, strict=False):
            if cosine < self._similarity:
                continue
            missing = [t for t in dict.fromkeys(claim.terms) if t not in _known(window)]
            spare = [t for t in dict.fromkeys(window.terms) if t not in claim.terms]
            matches = await self._words.same_meaning(
                _written(claim.text, missing), _written(window.text, spare)
            )
            total = sum(claim.weights.values())
            lost = sum(
                claim.weights[term] * (1.0 - match)
                for term, match in zip(missing, matches, strict=False)
            )
            covered = 1.0 - lost / total
            if len(matches) == len(missing) and covered >= _DIRECT_COVERAGE:
                supports.append(_support(window, min(cosine, covered), "similarity"))
        return supports


def _known(window: Window) -> frozenset[str]:
    return window.inherited | window.facts.terms


def _coverage(claim: _Claim, window: Window) -> float:
    known = _known(window) | window.facts.numbers
    total = sum(claim.weights.values())
    held = sum(weight for term, weight in claim.weights.items() if term in known)
    own = any(term in window.facts.terms for term in claim.weights)
    return held / total if own else 0.0


def _has_subject(clause: _Claim) -> bool:
    """Whether a clause says itself what it is about: it opens with an article, a name, a number."""
    opening = tokenize(clause.text)[0].text
    return not opening[0].islower() or opening in _ARTICLES


def _place(
    claim: _Claim, windows: Sequence[Window], subject: frozenset[str]
) -> tuple[float, Window] | None:
    """Find the sentence that covers a clause and is about the same subject."""
    best: tuple[float, Window] | None = None
    for window in windows:
        covered = _coverage(claim, window)
        if covered < _DIRECT_COVERAGE or not subject <= _known(window):
            continue
        if conflict(claim.facts, window.facts, window.inherited) is None and (
            best is None or covered > best[0]
        ):
            best = (covered, window)
    return best


def _support(window: Window, score: float, method: SupportMethod) -> Support:
    return Support(window.passage, round(min(score, 1.0), 4), method, window.start, window.end)


def _best(supports: Sequence[Support]) -> tuple[Support, ...]:
    """Keep the best place of each passage, best passage first."""
    best: dict[int, Support] = {}
    for support in supports:
        if support.passage not in best or support.score > best[support.passage].score:
            best[support.passage] = support
    return tuple(sorted(best.values(), key=lambda s: (-s.score, s.passage))[:_MAX_SUPPORTS])


def _written(text: str, terms: Sequence[str]) -> list[str]:
    """Return the words of `text` behind `terms`: an embedding model knows words, not stems."""
    words = {token.term: token.text.casefold() for token in tokenize(text)}
    return [words[term] for term in terms]
