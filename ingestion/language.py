"""The language that a document is written in."""

from functools import cache
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from langdetect.detector_factory import DetectorFactory

__all__ = ["detect_language"]

_SAMPLE_CHARACTERS = 4_000
_LEAST_LETTERS = 40
_LEAST_WIDE_LETTERS = 10
_LEAST_PROBABILITY = 0.8


def detect_language(text: str) -> str | None:
    """Return the ISO 639-1 code of `text`'s main language, None where that cannot be told.

    The start and the middle of the text are looked at. The detector is seeded: one text always
    gives one answer.
    """
    middle = len(text) // 2
    sample = text[:_SAMPLE_CHARACTERS]
    if len(text) > 2 * _SAMPLE_CHARACTERS:
        sample += "\n" + text[middle : middle + _SAMPLE_CHARACTERS]
    if not _long_enough(sample):
        return None
    from langdetect.lang_detect_exception import LangDetectException

    detector = _factory().create()
    detector.append(sample)
    try:
        guesses = detector.get_probabilities()
    except LangDetectException:
        return None
    if not guesses or guesses[0].prob < _LEAST_PROBABILITY:
        return None
    return str(guesses[0].lang).partition("-")[0]


def _long_enough(sample: str) -> bool:
    letters = [character for character in sample if character.isalpha()]
    wide = sum(character >= "\u2e80" for character in letters)
    return len(letters) >= _LEAST_LETTERS or wide >= _LEAST_WIDE_LETTERS


@cache
def _factory() -> "DetectorFactory":
    """Load the profiles once per process, with a seed."""
    from langdetect.detector_factory import PROFILES_DIRECTORY, DetectorFactory

    factory = DetectorFactory()
    factory.load_profile(PROFILES_DIRECTORY)
    factory.set_seed(0)
    return factory
