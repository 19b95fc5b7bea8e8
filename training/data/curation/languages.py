"""Rows in other languages than those that are wanted."""

import re
from functools import cache
from typing import TYPE_CHECKING, Final

from training.data.curation.stages import Verdict
from training.data.settings import LanguageSettings
from training.data.texts import spoken
from training.errors import CurationError
from training.examples import Example

if TYPE_CHECKING:
    from langdetect.detector_factory import DetectorFactory

__all__ = ["LanguageFilter"]

_SAMPLE_CHARACTERS: Final = 4_000
_LEAST_LETTERS: Final = 40
_NO_WORDS: Final = re.compile(r"\S*[_\d]\S*")
"""Labels and names of a program, such as `card_arrival`, which the detector takes for Catalan."""
_WIDE: Final = "\u2e80"
_LEAST_WIDE: Final = 10
_SEED: Final = 0


class LanguageFilter:
    """Judges by what users and assistant say. Raises CurationError for a code nobody can detect."""

    name = "languages"

    def __init__(self, settings: LanguageSettings) -> None:
        known = {code.partition("-")[0] for code in _factory().get_lang_list()}
        if unknown := sorted(set(settings.allowed) - known):
            raise CurationError(
                f"languages.allowed names {', '.join(unknown)}, which cannot be detected.",
                fix=f"Allowed are {', '.join(sorted(known))}.",
            )
        self._settings = settings

    def judge(self, example: Example) -> Verdict:
        """Whether the row is in an allowed language."""
        said = [turn.text for turn in spoken(example) if turn.role != "tool"]
        sample = _NO_WORDS.sub(" ", "\n".join(said)[:_SAMPLE_CHARACTERS])
        language = self._detect(sample)
        if language is None:
            return Verdict(example, "" if self._settings.keep_unknown else "language unknown")
        wanted = language in self._settings.allowed
        return Verdict(example, "" if wanted else f"language {language}")

    def _detect(self, text: str) -> str | None:
        """The language's code; None where the text is too short or the detector unsure."""
        from langdetect.lang_detect_exception import LangDetectException

        letters = [character for character in text if character.isalpha()]
        wide = sum(letter >= _WIDE for letter in letters)
        if len(letters) < _LEAST_LETTERS and wide < _LEAST_WIDE:
            return None
        detector = _factory().create()
        detector.append(text)
        try:
            guesses = detector.get_probabilities()
        except LangDetectException:
            return None
        if not guesses or guesses[0].prob < self._settings.least_probability:
            return None
        return str(guesses[0].lang).partition("-")[0]


@cache
def _factory() -> "DetectorFactory":
    """The detector's profiles, once per process, seeded: one text always gives one answer."""
    from langdetect.detector_factory import PROFILES_DIRECTORY, DetectorFactory

    factory = DetectorFactory()
    factory.load_profile(PROFILES_DIRECTORY)
    factory.set_seed(_SEED)
    return factory
