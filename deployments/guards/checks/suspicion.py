"""Injections and jailbreaks: rules and a small model, then likeness to known ones, then a judge.

The rules and the recogniser read every text. Only sentences that they suspect and are not sure of
are compared with known attacks, and only where that leaves it open is a judge asked.
"""

from collections.abc import Callable, Sequence
from dataclasses import dataclass, field
from functools import lru_cache, partial
from typing import Final, NamedTuple, Protocol

from deployments.bounded_patterns import find_all, search
from deployments.evaluation.metrics.disguises import fold
from deployments.guards.aside import aside, still_wanted
from deployments.guards.checks.rules import Rules
from deployments.guards.recogniser.recogniser import Recogniser, Suspect
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
_SUSPECT: Final = 0.25
"""Score from which a sentence is worth a comparison: one ordinary passage of twelve, and one
ordinary question of a hundred, has one."""
_AGREE: Final = 0.4
"""Score from which what both rules and the recogniser suspect adds up."""


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


class _Looked(NamedTuple):
    """What rules and the recogniser see in a text."""

    score: float
    suspects: tuple[Suspect, ...]


@dataclass(slots=True)
class SuspicionCheck:
    """Looks for attempts to take the model over."""

    name: str
    category: str
    rules: Rules
    threshold: float
    """Score from which there is nothing left to ask."""
    recogniser: Recogniser | None = None
    likeness: Likeness | None = None
    arbiter: Arbiter | None = None
    unsure_from: float = 0.3
    """Score from which the arbiter is asked."""
    sources: frozenset[Source] = frozenset({Source.ASKED, Source.SAID})
    needs_whole: bool = False
    _look: Callable[..., _Looked] = field(init=False, repr=False)

    def __post_init__(self) -> None:
        # The same passages are found again and again.
        self._look = lru_cache(_REMEMBERED)(self._looked)

    async def find(self, text: str, place: Place) -> Finding:
        """See Check. Raises TimeoutError."""
        score, suspects = await aside(partial(self._look, place=place), text)
        if score < self.threshold and self.likeness is not None:
            score = max(score, await self._likeness(self.likeness, text, suspects))
        if self.arbiter is not None and self.unsure_from <= score < self.threshold:
            look = partial(self._suspected, place=place, suspects=suspects)
            read = await aside(look, text)
            said = await self.arbiter.is_attack(self.name, read)
            if said is None:
                return Finding(score, (self.category,), failure="judge_unanswered")
            if said:
                score = max(_SURE, self.threshold)
        if not score:
            return Finding()
        if score < self.threshold:
            return Finding(score, (self.category,))
        spans = await aside(partial(self._spans, place=place, suspects=suspects), text)
        return Finding(score, (self.category,), spans)

    def undecided(self, text: str) -> int:
        """See Check. It reads questions and passages, which do not grow."""
        return len(text)

    async def warm_up(self) -> None:
        """See Check."""
        if self.likeness is not None:
            self.likeness.start()

    def _looked(self, text: str, place: Place) -> _Looked:
        by_rule = self.rules.score(fold(text), place)
        if self.recogniser is None:
            return _Looked(by_rule, ())
        suspects = tuple(self.recogniser.suspects(text, place, above=_SUSPECT))
        by_model = max((suspect.score for suspect in suspects), default=0.0)
        score = max(by_rule, by_model)
        if min(by_rule, by_model) >= _AGREE:
            score = 1.0 - (1.0 - by_rule) * (1.0 - by_model)
        return _Looked(score, suspects)

    async def _likeness(self, likeness: Likeness, text: str, suspects: Sequence[Suspect]) -> float:
        """The score that its sentences' likeness to known attacks gives."""
        if self.recogniser is None:
            spans = await aside(self._cued, text)
        else:
            spans = [(one.start, one.end) for one in suspects]
        sentences = [text[start:end] for start, end in spans[:_SENTENCES]]
        if not sentences:
            return 0.0
        found = 0.0
        for attack, harmless in await likeness.nearest(sentences):
            if attack >= self.rules.similar_from and attack - harmless >= self.rules.similar_by:
                return max(_SURE, self.threshold)
            if attack > harmless:
                found = max(found, min(attack, self.threshold - 0.01))
        return found

    def _cued(self, text: str) -> list[tuple[int, int]]:
        """Sentences that hold what is worth a closer look: as many as are compared."""
        cues, found = self.rules.cues, []
        for start, end in sentence_spans(text):
            still_wanted()
            if search(cues, fold(text[start:end])):
                found.append((start, end))
            if len(found) == _SENTENCES:
                break
        return found

    def _suspected(self, text: str, place: Place, suspects: Sequence[Suspect]) -> str:
        """What an arbiter reads: the text; of a long one what stands around its suspicions.

        Else whoever writes much before an attack would hide it. It is read as the rules read it,
        without disguises.
        """
        if len(text) <= _READ:
            return text
        folded = fold(text)
        found = [one.start for one in self.rules.matches(folded, place)]
        found += [match.start() for match in find_all(self.rules.cues, folded)]
        found += [one.start for one in suspects]
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

    def _spans(self, text: str, place: Place, suspects: Sequence[Suspect]) -> tuple[Span, ...]:
        """The sentences that are suspicious by themselves; the whole text where none is."""
        seen = {(s.start, s.end) for s in suspects if s.score >= self.threshold}
        if (0, len(text)) in seen:  # what is hidden in it stands nowhere in particular
            return (Span(0, len(text), "INSTRUCTION"),)
        guilty = [
            (a, b)
            for a, b in sentence_spans(text)
            if (a, b) in seen or self.rules.score(fold(text[a:b]), place) > 0
        ]
        return tuple(Span(a, b, "INSTRUCTION") for a, b in guilty or [(0, len(text))])
