"""Recognises attacks in words that no rule knows: by what words mean, and in which order.

Each sentence is read as a row of concepts (`lexicon.yaml`: to ignore, instruction, earlier, the
model, to reveal, ...), in two dozen languages, with disguises undone. A linear model weighs which
concepts stand in it and which after which. It was trained on the forms in `examples/` and on
readings of ordinary texts (`python -m deployments.guards.recogniser.training`).
"""

import math
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from functools import cache
from typing import Final

from deployments.guards.aside import still_wanted
from deployments.guards.recogniser.lexicon import Lexicon, Meaning, load_lexicon
from deployments.guards.recogniser.reading import meanings
from deployments.guards.recogniser.traits import LONGEST_PART, traits, windows
from deployments.guards.recogniser.unmasking import unmasked
from deployments.guards.recogniser.weights import Weights, load_weights
from deployments.guards.verdict import Place
from ingestion.sentences import sentence_spans

__all__ = ["Recogniser", "Suspect", "load_recogniser", "parts_of"]

_ALARM: Final = 0.6
"""Score of what is as suspicious as the weights allow an ordinary text to be."""
_FEWEST: Final = 3
"""Words and signs that mean something, below which a part says too little: a greeting."""
_LONGEST_TEXT: Final = 40_000
"""Characters that are read; what follows is left to rules."""


@dataclass(frozen=True, slots=True)
class Suspect:
    """A part of a text, `text[start:end]`, and how much it looks like an attack, 0 to 1."""

    start: int
    end: int
    score: float


@dataclass(frozen=True, slots=True)
class Recogniser:
    """Looks for one kind of attack."""

    lexicon: Lexicon
    by_place: dict[str, Weights]

    def suspects(self, text: str, place: Place, above: float = 0.0) -> list[Suspect]:
        """Sentences by how they look, in order: those that score `above`.

        Raises TimeoutError where nobody waits for it.
        """
        weights = self.by_place["input" if place == "input" else "passages"]
        read = list(_sentences(text[:_LONGEST_TEXT], self.lexicon))
        alone = [_most(weights, one.parts) for one in read]
        found = []
        for number, one in enumerate(read):
            logit = alone[number]
            # What the next sentence says by itself is not held against the one before it.
            if one.with_next and alone[number + 1] < 0:
                logit = max(logit, _most(weights, [one.with_next]))
            score = _score(logit)
            if score > above:
                found.append(Suspect(one.start, one.end, score))
        return found


def parts_of(text: str, lexicon: Lexicon) -> Iterator[tuple[int, int, list[Sequence[Meaning]]]]:
    """Sentences as `(start, end, parts)`: what is weighed of each, alone and with the next one."""
    for one in _sentences(text, lexicon):
        together = [one.with_next] if one.with_next else []
        yield one.start, one.end, [*one.parts, *together]


@dataclass(frozen=True, slots=True)
class _Sentence:
    """`text[start:end]` in parts that are weighed, and with the sentence after it."""

    start: int
    end: int
    parts: list[Sequence[Meaning]]
    with_next: Sequence[Meaning] = ()


def _sentences(text: str, lexicon: Lexicon) -> Iterator[_Sentence]:
    spans = sentence_spans(text)
    read = [meanings(text[start:end], lexicon) for start, end in spans]
    for number, (start, end) in enumerate(spans):
        still_wanted()
        after = read[number + 1] if number + 1 < len(read) else []
        short = after and len(read[number]) + len(after) <= LONGEST_PART
        together = [*read[number], *after] if short else []
        yield _Sentence(start, end, list(windows(read[number])), together)
    for reading in unmasked(text):
        inner = [
            part
            for start, end in sentence_spans(reading)
            for part in windows(meanings(reading[start:end], lexicon))
        ]
        yield _Sentence(0, len(text), inner)


def _most(weights: Weights, parts: Sequence[Sequence[Meaning]]) -> float:
    logits = (weights.logit(traits(part)) for part in parts if _says_enough(part))
    return max(logits, default=-math.inf)


def _says_enough(part: Sequence[Meaning]) -> bool:
    return sum(meaning[0] != 0 for meaning in part) >= _FEWEST


def _score(logit: float) -> float:
    """A logit of 0 is the alarm."""
    if logit < -30:
        return 0.0
    return 1.0 / (1.0 + math.exp(-logit) * (1.0 - _ALARM) / _ALARM)


@cache
def load_recogniser(name: str) -> Recogniser:
    """The one for «injection» or «jailbreak»."""
    weights = load_weights()
    places = ("passages", "input")
    return Recogniser(
        load_lexicon(),
        {place: weights.get(f"{name}.{place}") or weights[name] for place in places},
    )
