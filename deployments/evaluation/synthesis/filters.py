"""Which drafts are worth asking: pure filters, each with the name that the receipt counts it by."""

import re
from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from deployments.evaluation.synthesis.drafts import Draft
from deployments.evaluation.synthesis.extraction import GAP
from deployments.gateway.grounding.facts import conflict, facts_of
from deployments.gateway.grounding.terms import content_terms, words
from training.data.texts import normalised
from training.data.texts import words as spoken_words

__all__ = ["FILTERS", "NOT_FOUND", "Filter", "Kept", "first_objection", "found_within"]

NOT_FOUND: Final = "not_found"
"""The filter that needs the store: a search for the question must find the document."""
_QUESTION_CHARACTERS: Final = (12, 400)
_ANSWER_CHARACTERS: Final = (1, 300)
_COPIED_WORDS: Final = 8
_COPIED_SHARE: Final = 0.8
_COVERED: Final = 0.8
_SAME: Final = 0.8
_QUESTION_MARKS: Final = "?？؟;"  # the last is the Greek one
_DEIXIS: Final = re.compile(
    r"\b(?:passage|excerpt|paragraph|(?:this|the|above|following|given) (?:text|document|article|"
    r"section|sentence|table|statement|context)|according to (?:the|this)|author|mentioned above|"
    r"text(?:stelle|abschnitt|passage)|(?:dieser|dieses|im|dem|der|laut|genannte\w*) "
    r"(?:text|dokument|artikel|abschnitt)\w*|(?:ce|cet|cette|le|du) (?:texte|document|article)|"
    r"(?:este|el|del) (?:texto|documento|artículo|pasaje))\b",
    re.IGNORECASE,
)
_VAGUE: Final = words("it this that these those they he she there")


class Kept(NamedTuple):
    """A question that was taken, as later ones are compared with it."""

    text: str
    terms: frozenset[str]

    @classmethod
    def of(cls, question: str) -> "Kept":
        """Read a question."""
        return cls(normalised(question), frozenset(content_terms(question)))


Filter = Callable[[Draft, Sequence[Kept]], bool]
"""True where the draft is to be removed."""


def malformed(draft: Draft, _kept: Sequence[Kept]) -> bool:
    """Too short, too long, no question, no word in the answer."""
    question, answer = draft.question.strip(), draft.answer.strip()
    asks = question.endswith(tuple(_QUESTION_MARKS)) or GAP in question
    fits = _QUESTION_CHARACTERS[0] <= len(question) <= _QUESTION_CHARACTERS[1]
    answers = _ANSWER_CHARACTERS[0] <= len(answer) <= _ANSWER_CHARACTERS[1]
    return not (asks and fits and answers and any(map(str.isalnum, answer)))


def needs_the_passage(draft: Draft, _kept: Sequence[Kept]) -> bool:
    """It speaks of «the passage», or is about «it»: nobody could ask that without the text."""
    if GAP in draft.question:
        return False
    if _DEIXIS.search(draft.question):
        return True
    terms = content_terms(draft.question)
    said = spoken_words(draft.question)
    return (len(terms) < 2 and bool(set(said) & _VAGUE)) or not terms


def copied(draft: Draft, _kept: Sequence[Kept]) -> bool:
    """Eight words in a row, or most of the question, stand so in the passage.

    A gap in a sentence is copied by design, and marked so.
    """
    if draft.method == "cloze":
        return False
    asked, said = spoken_words(draft.question), spoken_words(draft.source.text)
    longest = _longest_run(asked, said)
    return longest >= _COPIED_WORDS or (
        len(asked) > _COPIED_WORDS // 2 and longest >= _COPIED_SHARE * len(asked)
    )


def gives_the_answer(draft: Draft, _kept: Sequence[Kept]) -> bool:
    """The answer stands in the question, or says no word more than it."""
    answer = normalised(draft.answer)
    if re.search(rf"(?<!\w){re.escape(answer)}(?!\w)", normalised(draft.question)):
        return True
    return set(content_terms(draft.answer)) <= set(content_terms(draft.question))


def unsupported(draft: Draft, _kept: Sequence[Kept]) -> bool:
    """The passage does not say it: not word for word, and numbers, names or terms differ."""
    if normalised(draft.answer) in normalised(draft.source.text):
        return False
    if conflict(facts_of(draft.answer), facts_of(draft.source.text)) is not None:
        return True
    terms, known = set(content_terms(draft.answer)), set(content_terms(draft.source.text))
    return not terms or len(terms & known) < _COVERED * len(terms)


def off_topic(draft: Draft, _kept: Sequence[Kept]) -> bool:
    """The question shares no term with the passage, or names what the passage does not."""
    known = set(content_terms(draft.source.text))
    if not known & set(content_terms(draft.question)):
        return True
    asked, source = facts_of(draft.question), facts_of(draft.source.text)
    return bool((asked.numbers - source.numbers) | (asked.names - source.terms))


def duplicate(draft: Draft, kept: Sequence[Kept]) -> bool:
    """Asked already, in the same or nearly the same words."""
    ours = Kept.of(draft.question)
    return any(
        ours.text == other.text or _jaccard(ours.terms, other.terms) >= _SAME for other in kept
    )


FILTERS: Final[Mapping[str, Filter]] = {
    "malformed": malformed,
    "needs_the_passage": needs_the_passage,
    "copied": copied,
    "gives_the_answer": gives_the_answer,
    "unsupported": unsupported,
    "off_topic": off_topic,
    "duplicate": duplicate,
}
"""In the order in which they are asked; the receipt counts a draft under the first that objects."""


def first_objection(draft: Draft, kept: Sequence[Kept]) -> str | None:
    """Name of the first filter that removes the draft; None where none does."""
    return next((name for name, removes in FILTERS.items() if removes(draft, kept)), None)


def found_within(draft: Draft, documents: Sequence[str], rank: int) -> bool:
    """Whether one of the first `rank` passages that a search found is of the draft's document."""
    return draft.source.document in documents[:rank]


def _longest_run(asked: Sequence[str], said: Sequence[str]) -> int:
    """Length of the longest run of words that both have."""
    longest = 0
    before = [0] * (len(said) + 1)
    for word in asked:
        row = [0] * (len(said) + 1)
        for position, other in enumerate(said, start=1):
            if word == other:
                row[position] = before[position - 1] + 1
                longest = max(longest, row[position])
        before = row
    return longest


def _jaccard(one: frozenset[str], other: frozenset[str]) -> float:
    union = one | other
    return len(one & other) / len(union) if union else 0.0
