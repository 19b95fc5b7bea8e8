"""What happens while an answer comes into being. Both surfaces render this one stream.

Searched (grounded answers only) → TextDelta… with SentenceAttributed in between → Finished
"""

from dataclasses import dataclass, field
from typing import Any, Literal

from deployments.gateway.grounding.attribution import SentenceSupport, Verdict
from deployments.model.messages import Usage
from deployments.retriever.messages import RetrievedPassage

__all__ = [
    "AnswerEvent",
    "Citation",
    "DroppedSentence",
    "Finished",
    "Searched",
    "SentenceAttributed",
    "TextDelta",
]


@dataclass(frozen=True, slots=True)
class Citation:
    """A sentence of the answer, `answer[start:end]`, and a place that supports it."""

    start: int
    end: int
    passage: RetrievedPassage
    number: int
    """The passage's number in the prompt, from 1."""
    quote: str
    score: float
    method: str


@dataclass(frozen=True, slots=True)
class Searched:
    """The passages were found, best first; those in the prompt are among them."""

    query: str
    passages: tuple[RetrievedPassage, ...]


@dataclass(frozen=True, slots=True)
class TextDelta:
    """The next piece of the answer, without the markers that a model writes."""

    text: str


@dataclass(frozen=True, slots=True)
class SentenceAttributed:
    """A sentence is complete and was held against the passages. Sentences come in order."""

    sentence: SentenceSupport
    citations: tuple[Citation, ...]


@dataclass(frozen=True, slots=True)
class DroppedSentence:
    """A sentence that the policy took out of the answer, and why."""

    text: str
    verdict: Verdict
    reason: str


@dataclass(frozen=True, slots=True)
class Finished:
    """The answer is whole."""

    text: str
    finish_reason: Literal["stop", "length", "content_filter"] | str
    usage: Usage
    refused: bool = False
    """Whether nothing supported an answer: the model was not asked, or all it said was dropped."""
    sentences: tuple[SentenceSupport, ...] = ()
    citations: tuple[Citation, ...] = field(default=())
    groundedness: float | None = None
    """Share of checkable sentences that a passage supports; None for an answer without any."""
    guards: tuple[dict[str, Any], ...] = ()
    """What guards did with question, passages and answer; empty where they let all pass."""
    contradictions: tuple[Citation, ...] = ()
    """Sentences of the answer, each with a place that says otherwise."""
    dropped: tuple[DroppedSentence, ...] = ()
    regenerated: bool = False
    """Whether a first answer was thrown away, for what it claimed."""


AnswerEvent = Searched | TextDelta | SentenceAttributed | Finished
