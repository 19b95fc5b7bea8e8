"""Rows that hold a question of the evaluation set: it would be remembered then, not solved.

Overlap as in «Language Models are Few-Shot Learners» (Brown et al. 2020, appendix C): a run of 13
equal words in normal form. A shorter question has no such run; there a turn must be the question.
"""

from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from hashlib import blake2b
from typing import Final, Self

from training.data.curation.frames import Frame, frame_of, opening_words
from training.data.curation.stages import Verdict
from training.data.records import digest, digest_of_all
from training.data.settings import DecontaminationSettings
from training.data.texts import spoken, words
from training.examples import Example

__all__ = ["Contamination", "Questions"]

_LEAST_FRAMED: Final = 3
"""Words from which a text can be a question whose frame is not told from the question itself."""


@dataclass(frozen=True, slots=True)
class Questions:
    """What the users of an evaluation set ask, as hashes. Small enough to go to every worker."""

    run: int
    """Words of a run."""
    runs: frozenset[bytes]
    """Of the questions that have one."""
    whole: frozenset[bytes]
    """The shorter ones."""
    frame: Frame
    """What the set's own prompt puts around its questions: no overlap of its own."""
    rows: int
    sha256: str
    """Of the evaluation set, in its order."""

    @classmethod
    def of(cls, examples: Sequence[Example], settings: DecontaminationSettings) -> Self:
        """Those of the examples."""
        digests = [digest(example) for example in examples]
        frame = frame_of(
            (key, opening_words(example)) for key, example in zip(digests, examples, strict=True)
        )
        asked = [
            frame.inside(words(turn.text))
            for example in examples
            for turn in spoken(example)
            if turn.role == "user"
        ]
        count = settings.words
        long = [question for question in asked if len(question) >= count]
        return cls(
            run=count,
            runs=frozenset(run for question in long for run in _runs(question, count)),
            whole=frozenset(_hash(question) for question in asked if 0 < len(question) < count),
            frame=frame,
            rows=len(examples),
            sha256=digest_of_all(digests),
        )

    def met_in(self, text: str) -> str:
        """How `text` overlaps with a question; empty when it does not."""
        said = words(text)
        if self.whole and self._is_one(said):
            return "a question of the evaluation set"
        if self.runs and any(run in self.runs for run in _runs(said, self.run)):
            return f"{self.run} words of the evaluation set"
        return ""

    def _is_one(self, said: Sequence[str]) -> bool:
        """Whether the words are a short question, with the frame, without it or with some of it."""
        around = len(self.frame.before) + len(self.frame.after)
        if not (_LEAST_FRAMED if around else 1) <= len(said) < self.run + around:
            return False
        return any(_hash(part) in self.whole for part in self.frame.parts(said))


class Contamination:
    """Removes rows in which a turn, whoever's but the system's, overlaps with a question."""

    name = "decontamination"

    def __init__(self, questions: Questions) -> None:
        self._questions = questions

    def judge(self, example: Example) -> Verdict:
        """Whether the row is free of the evaluation set."""
        for turn in spoken(example):
            if overlap := self._questions.met_in(turn.text):
                return Verdict(example, overlap)
        return Verdict(example)


def _runs(given: Sequence[str], count: int) -> Iterator[bytes]:
    return (_hash(given[i : i + count]) for i in range(len(given) - count + 1))


def _hash(given: Iterable[str]) -> bytes:
    return blake2b(" ".join(given).encode(), digest_size=8).digest()
