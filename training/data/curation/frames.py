"""The frame of a dataset: the words with which nearly all its questions begin and end.

«Classify the question of a bank's customer: …» makes all rows alike. Without the frame, what is
compared is what differs.
"""

from collections import Counter
from collections.abc import Iterable, Iterator, Sequence
from dataclasses import dataclass
from heapq import nsmallest
from typing import Final

from training.data.texts import Turn, question, words
from training.examples import Example

__all__ = ["NO_FRAME", "SAMPLE", "Frame", "Opening", "frame_of", "opening_words", "unframed"]

_SHARE: Final = 0.9
_LEAST_QUESTIONS: Final = 20
SAMPLE: Final = 1_000
"""Questions that a frame is found from."""

Opening = tuple[bytes, Sequence[str]]
"""A row's digest, and the words of its first question."""


@dataclass(frozen=True, slots=True)
class Frame:
    """Words before and after what is a question's own."""

    before: tuple[str, ...] = ()
    after: tuple[str, ...] = ()

    def inside(self, given: Sequence[str]) -> list[str]:
        """The words without the frame's, on each side on which they have it."""
        first, last = len(self.before), len(given) - len(self.after)
        start = first if tuple(given[:first]) == self.before else 0
        end = last if last >= start and tuple(given[last:]) == self.after else len(given)
        return list(given[start:end])

    def parts(self, given: Sequence[str]) -> Iterator[list[str]]:
        """The words without each end of `before` and each start of `after` that they have.

        Questions that all begin alike make a frame longer than the prompt around them; so a
        question that stands without that prompt still has some of the frame.
        """
        before, after, count = self.before, self.after, len(given)
        cut = [n for n in range(len(before) + 1) if tuple(given[:n]) == before[len(before) - n :]]
        for last in range(min(len(after), count) + 1):
            if tuple(given[count - last :]) == after[:last]:
                yield from (list(given[n : count - last]) for n in cut if n + last <= count)


NO_FRAME: Final = Frame()


def opening_words(example: Example) -> list[str]:
    """The words of the first turn that is the user's, of those that the last answer follows."""
    for turn in question(example):
        if turn.role == "user":
            return words(turn.text)
    return []


def unframed(turns: Iterable[Turn], frame: Frame) -> list[str]:
    """The words of all turns, those of the user's first without the frame."""
    said: list[str] = []
    first = True
    for turn in turns:
        of_turn = words(turn.text)
        if first and turn.role == "user":
            of_turn, first = frame.inside(of_turn), False
        said += of_turn
    return said


def frame_of(openings: Iterable[Opening]) -> Frame:
    """The frame that nine in ten questions share; none for fewer than 20 questions.

    A sample is looked at, chosen by the rows' digests: the order of the rows does not matter.
    """
    sample = [list(opening) for _, opening in nsmallest(SAMPLE, openings, key=lambda o: o[0])]
    if len(sample) < _LEAST_QUESTIONS:
        return NO_FRAME
    before = _common_start(sample)
    rest = [Frame(before).inside(opening) for opening in sample]
    after = _common_start([opening[::-1] for opening in rest])
    return Frame(before, after[::-1])


def _common_start(openings: Sequence[list[str]]) -> tuple[str, ...]:
    """The longest run of first words that the share of all openings begins with."""
    needed = _SHARE * len(openings)
    common: list[str] = []
    while True:
        place = len(common)
        nexts = Counter(opening[place] for opening in openings if len(opening) > place)
        word, count = nexts.most_common(1)[0] if nexts else ("", 0)
        if count < needed:
            return tuple(common)
        common.append(word)
        openings = [o for o in openings if len(o) > place and o[place] == word]
