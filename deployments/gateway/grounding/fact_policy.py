"""What becomes of sentences that the passages do not support: flagged, dropped, or asked anew."""

from collections.abc import AsyncGenerator, Iterable, Iterator
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

    A sentence is passed on once it was checked; one that claims nothing («Here it is:») only with
    the first that claims something and stays: without any, the answer is `refusal`. Places count
    in what is passed on.
    """
    kept = _Kept()
    async with aclosing(events):
        async for event in events:
            if isinstance(event, TextDelta):
                kept.said += event.text
            elif isinstance(event, SentenceAttributed):
                if policy.keeps(event.sentence):
                    for told in kept.keep(event):
                        yield told
                else:
                    kept.drop(event.sentence)
            elif isinstance(event, Finished):
                for told in kept.finish(event, refusal):
                    yield told
            else:
                yield event


class _Kept:
    """The answer so far: as the model said it, and as it is passed on."""

    def __init__(self) -> None:
        self.said = ""
        self._text = ""
        self._decided = 0
        """Characters of `said` that were kept or dropped."""
        self._blanks = ""
        """Before what was dropped last: a new paragraph stays one without its first sentence."""
        self._claims = False
        """Whether a sentence that claims something was passed on."""
        self._waiting: list[tuple[str, SentenceAttributed]] = []
        """What claims nothing and came before."""
        self._sentences: list[SentenceSupport] = []
        self._citations: list[Citation] = []
        self._dropped: list[DroppedSentence] = []
        self._moves: dict[int, int] = {}
        """How far a sentence that is kept has moved, by where it began."""

    def keep(self, event: SentenceAttributed) -> Iterator[AnswerEvent]:
        """What to pass on now that a sentence stays."""
        sentence = event.sentence
        blanks, self._blanks = self._widest(sentence), ""
        self._waiting.append((blanks + self.said[sentence.start : sentence.end], event))
        self._decided = sentence.end
        self._claims = self._claims or sentence.checkable
        return self._pass_on() if self._claims else iter(())

    def drop(self, sentence: SentenceSupport) -> None:
        """Take a sentence out."""
        self._blanks = self._widest(sentence)
        self._decided = sentence.end
        said = self.said[sentence.start : sentence.end]
        assert sentence.verdict is not None  # noqa: S101 - what claims nothing is kept
        self._dropped.append(DroppedSentence(said, sentence.verdict, sentence.reason))

    def finish(self, event: Finished, refusal: str) -> Iterator[AnswerEvent]:
        """The rest, and the whole answer."""
        if self._dropped and not self._claims:
            yield TextDelta(refusal)
            yield replace(
                event,
                text=refusal,
                finish_reason="stop" if event.finish_reason == "length" else event.finish_reason,
                refused=True,
                sentences=(),
                citations=(),
                groundedness=None,
                contradictions=(),
                dropped=tuple(self._dropped),
            )
            return
        yield from self._pass_on()
        if rest := "" if self._dropped else self.said[self._decided :]:
            self._text += rest
            yield TextDelta(rest)
        yield replace(
            event,
            text=self._text,
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

    def _widest(self, sentence: SentenceSupport) -> str:
        """The blanks before a sentence, or those before what was dropped where they are more."""
        blanks = self.said[self._decided : sentence.start]
        return max(blanks, self._blanks, key=lambda found: (found.count("\n"), len(found)))

    def _pass_on(self) -> Iterator[AnswerEvent]:
        waiting, self._waiting = self._waiting, []
        for text, event in waiting:
            piece = text if self._text else text.lstrip()
            self._text += piece
            sentence = event.sentence
            by = len(self._text) - sentence.end
            moved = replace(sentence, start=sentence.start + by, end=sentence.end + by)
            citations = tuple(_moved(one, by) for one in event.citations)
            self._moves[sentence.start] = by
            self._sentences.append(moved)
            self._citations += citations
            yield TextDelta(piece)
            yield SentenceAttributed(moved, citations)


def _moved(citation: Citation, by: int) -> Citation:
    return replace(citation, start=citation.start + by, end=citation.end + by)
