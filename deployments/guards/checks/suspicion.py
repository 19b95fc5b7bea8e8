"""Injections and jailbreaks: rules first, then likeness to known ones, then a judge.

The rules read every text. Only where they suspect something and are not sure is a sentence
compared with known attacks, and only where that leaves it open is a judge asked.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache
from typing import Final, Protocol

from deployments.evaluation.metrics.disguises import fold
from deployments.guards.checks.rules import Rules
from deployments.guards.verdict import Finding, Place, Source, Span
from ingestion.sentences import sentence_spans

__all__ = ["Arbiter", "Likeness", "SuspicionCheck"]

_SENTENCES: Final = 8
"""Suspicious sentences of a text that are compared; the first ones."""
_REMEMBERED: Final = 2048
"""Texts whose score is remembered."""
_SURE: Final = 0.9
"""Score of what a comparison or a judge found; the guard's threshold where that is higher."""
_READ: Final = 4_000
"""Characters that an arbiter reads of a text."""
_BEFORE, _AFTER = 500, 1_500
"""Characters around a suspicion that it reads, where the text is longer."""
_LEFT_OUT: Final = "\n[…]\n"


class Likeness(Protocol):
    """How close texts are to known attacks."""

    async def nearest(self, texts: Sequence[str]) -> list[tuple[float, float]]:
        """For each text: cosine to the nearest attack, and to the nearest harmless text."""
        ...

    def start(self) -> None:
        """Have what texts are compared with embedded, without waiting for it."""
        ...


class Arbiter(Protocol):
    """A judge."""

    async def is_attack(self, guard: str, text: str) -> bool | None:
        """What the judge says of a text; None where it says nothing of use, or not in time."""
        ...


@dataclass(slots=True)
class SuspicionCheck:
    """Looks for attempts to take the model over."""

    name: str
    category: str
    rules: Rules
    threshold: float
    """Score from which there is nothing left to ask."""
    likeness: Likeness | None = None
    arbiter: Arbiter | None = None
    unsure_from: float = 0.3
    """Score from which the arbiter is asked."""
    sources: frozenset[Source] = frozenset({Source.ASKED, Source.SAID})
    needs_whole: bool = False
    _score: Callable[[str, Place], float] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # The same passages are found again and again.
        self._score = lru_cache(_REMEMBERED)(
            lambda text, place: self.rules.score(fold(text), place)
        )

    async def find(self, text: str, place: Place) -> Finding:
        """See Check. Raises TimeoutError."""
        score = self._score(text, place)
        if score < self.threshold and self.likeness is not None:
            score = max(score, await self._likeness(self.likeness, text))
        if self.arbiter is not None and self.unsure_from <= score < self.threshold:
            said = await self.arbiter.is_attack(self.name, self._suspected(text, place))
            if said is None:
                return Finding(score, (self.category,), failure="judge_unanswered")
            if said:
                score = max(_SURE, self.threshold)
        if not score:
            return Finding()
        spans = self._spans(text, place) if score >= self.threshold else ()
        return Finding(score, (self.category,), spans)

    def undecided(self, text: str) -> int:
        """See Check. It reads questions and passages, which do not grow."""
        return len(text)

    async def warm_up(self) -> None:
        """See Check."""
        if self.likeness is not None:
            self.likeness.start()

    async def _likeness(self, likeness: Likeness, text: str) -> float:
        """The score that its sentences' likeness to known attacks gives."""
        cues = self.rules.cues
        sentences = [
            text[start:end]
            for start, end in sentence_spans(text)
            if cues.search(fold(text[start:end]))
        ][:_SENTENCES]
        if not sentences:
            return 0.0
        found = 0.0
        for attack, harmless in await likeness.nearest(sentences):
            if attack >= self.rules.similar_from and attack - harmless >= self.rules.similar_by:
                return max(_SURE, self.threshold)
            if attack > harmless:
                found = max(found, min(attack, self.threshold - 0.01))
        return found

    def _suspected(self, text: str, place: Place) -> str:
        """What an arbiter reads: the text; of a long one what stands around its suspicions.

        Else whoever writes much before an attack would hide it. It is read as the rules read it,
        without disguises.
        """
        if len(text) <= _READ:
            return text
        folded = fold(text)
        found = [one.start for one in self.rules.matches(folded, place)]
        found += [match.start() for match in self.rules.cues.finditer(folded)]
        kept: set[int] = set()
        for start in found:
            if len(kept) >= _READ:
                break
            kept.update(range(max(0, start - _BEFORE), min(len(folded), start + _AFTER)))
        pieces: list[str] = []
        for position in sorted(kept):
            if position - 1 not in kept and pieces:
                pieces.append(_LEFT_OUT)
            pieces.append(folded[position])
        return "".join(pieces)[:_READ]

    def _spans(self, text: str, place: Place) -> tuple[Span, ...]:
        """The sentences that are suspicious by themselves; the whole text where none is."""
        spans = sentence_spans(text)
        guilty = [s for s in spans if self.rules.score(fold(text[s[0] : s[1]]), place) > 0]
        return tuple(Span(a, b, "INSTRUCTION") for a, b in guilty or [(0, len(text))])
