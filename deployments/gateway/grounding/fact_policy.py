"""What becomes of sentences that the passages do not support: flagged, dropped, or asked anew."""

from collections.abc import AsyncGenerator, Iterable
from contextlib import aclosing
from dataclasses import dataclass, replace
from typing import Final, Literal

from deployments.gateway.grounding.attribution import SentenceSupport, groundedness
from deployments.gateway.grounding.events import (
    AnswerEvent,
    Citation,
    DroppedSentence,
    Finished,
    SentenceAttributed,
    TextDelta,
)

__all__ = ["ASKED_ANEW", "FactPolicy", "without_dropped"]

Step = Literal["flag", "drop", "regenerate"]

ASKED_ANEW: Final = (
    "Answer again. Say only what the passages say, in their words, with their numbers. These "
    "sentences are not in them: "
)
"""What the model is told, with the sentences, where the first answer did not hold."""


@dataclass(frozen=True, slots=True)
class FactPolicy:
    """What is done, by verdict."""

    contradicted: Step = "flag"
    unverifiable: Step = "flag"

    @property
    def flags_only(self) -> bool:
        """Whether every sentence stays where it is."""
        return self.contradicted == self.unverifiable == "flag"

    @property
    def asks_anew(self) -> bool:
        """Whether some verdict has the model asked once more."""
        return "regenerate" in {self.contradicted, self.unverifiable}

    def keeps(self, sentence: SentenceSupport) -> bool:
        """Whether the sentence may stay."""
        return self._step(sentence) == "flag"

    def rejects(self, sentences: Iterable[SentenceSupport]) -> bool:
        """Whether the model must be asked once more."""
        return any(self._step(sentence) == "regenerate" for sentence in sentences)

    def _step(self, sentence: SentenceSupport) -> Step:
        if sentence.verdict == "contradicted":
            return self.contradicted
        return self.unverifiable if sentence.verdict == "unverifiable" else "flag"


async def without_dropped(
    events: AsyncGenerator[AnswerEvent, None], policy: FactPolicy, refusal: str
) -> AsyncGenerator[AnswerEvent, None]:
    """The same answer without the sentences that `policy` drops; `refusal` where none is left.

    A sentence is passed on once it was checked. Places count in what is passed on.
    """
    kept = _Kept()
    async with aclosing(events):
        async for event in events:
            if isinstance(event, TextDelta):
                kept.said += event.text
            elif isinstance(event, SentenceAttributed):
                if policy.keeps(event.sentence):
                    text, moved = kept.keep(event)
                    yield TextDelta(text)
                    yield moved
                else:
                    kept.drop(event.sentence)
            elif isinstance(event, Finished):
                finished = kept.finish(event, refusal)
                if rest := finished.text[len(kept.text) :]:
                    yield TextDelta(rest)
                yield finished
            else:
                yield event


class _Kept:
    """The answer so far: as the model said it, and as it is passed on."""

    def __init__(self) -> None:
        self.said = ""
        self.text = ""
        self._decided = 0
        """Characters of `said` that were passed on or dropped."""
        self._sentences: list[SentenceSupport] = []
        self._citations: list[Citation] = []
        self._dropped: list[DroppedSentence] = []
        self._moves: dict[int, int] = {}
        """How far a sentence that is kept has moved, by where it began."""

    def keep(self, event: SentenceAttributed) -> tuple[str, SentenceAttributed]:
        """What to pass on of a sentence."""
        sentence = event.sentence
        piece = self.said[self._decided : sentence.end]
        piece = piece if self.text else piece.lstrip()
        self._decided = sentence.end
        self.text += piece
        by = len(self.text) - sentence.end
        moved = replace(sentence, start=sentence.start + by, end=sentence.end + by)
        citations = tuple(_moved(one, by) for one in event.citations)
        self._moves[sentence.start] = by
        self._sentences.append(moved)
        self._citations += citations
        return piece, SentenceAttributed(moved, citations)

    def drop(self, sentence: SentenceSupport) -> None:
        """Take a sentence out, with the blanks before it."""
        self._decided = sentence.end
        said = self.said[sentence.start : sentence.end]
        assert sentence.verdict is not None  # noqa: S101 - what claims nothing is kept
        self._dropped.append(DroppedSentence(said, sentence.verdict, sentence.reason))

    def finish(self, event: Finished, refusal: str) -> Finished:
        """The whole answer."""
        if self._dropped and not self.text:
            return replace(
                event,
                text=refusal,
                refused=True,
                sentences=(),
                citations=(),
                groundedness=None,
                contradictions=(),
                dropped=tuple(self._dropped),
            )
        return replace(
            event,
            text=self.text + self.said[self._decided :].rstrip(),
            sentences=tuple(self._sentences),
            citations=tuple(self._citations),
            groundedness=groundedness(self._sentences),
            contradictions=tuple(
                _moved(one, self._moves[one.start])
                for one in event.contradictions
                if one.start in self._moves
            ),
            dropped=tuple(self._dropped),
        )


def _moved(citation: Citation, by: int) -> Citation:
    return replace(citation, start=citation.start + by, end=citation.end + by)
