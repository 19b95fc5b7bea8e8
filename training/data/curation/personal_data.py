"""Personal data in a row: found by Presidio's recognizers of patterns, masked or a reason to go.

Only what has a pattern is found: no names and no addresses of people, which would need a language
model to be fetched. Looked at are contents and the arguments of tools; the names of messages and
the definitions of tools are left. Nothing here goes out to a network.
"""

import re
from collections import Counter
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final

from training.data.curation.stages import Verdict
from training.data.settings import PersonalDataSettings
from training.data.texts import map_texts
from training.examples import Example

if TYPE_CHECKING:
    from presidio_analyzer import AnalyzerEngine

__all__ = ["PersonalData", "Span", "merged"]

_LANGUAGE: Final = "en"  # recognizers of patterns are filed under a language and ask no other
_WORTH_A_LOOK: Final = re.compile(r"@|://|\d\D{0,3}\d|:[0-9A-Fa-f]{0,4}:")
_WORD: Final = re.compile(r"[^\W\d_]+")
_PIECE: Final = 10_000
"""Characters that are looked at at once: some patterns take quadratic time."""
_OVERLAP: Final = 200
"""Longer than what is looked for, but for URLs."""


@dataclass(frozen=True, slots=True)
class Span:
    """Characters `start` to `end`, and what they are."""

    start: int
    end: int
    entity: str
    score: float


class PersonalData:
    """Masks what it finds as `<EMAIL_ADDRESS>`, or removes the row, as the settings say."""

    name = "personal_data"

    def __init__(self, settings: PersonalDataSettings) -> None:
        self._settings = settings
        self._engine = _engine(settings)

    def judge(self, example: Example) -> Verdict:
        """The row without its personal data; or that it goes because of some."""
        found: Counter[str] = Counter()
        masked = map_texts(example, lambda text: self._masked(text, found))
        if not found:
            return Verdict(example)
        if self._settings.action == "drop":
            kinds = ", ".join(sorted(found))
            return Verdict(example, f"holds {kinds}", dict(found))
        return Verdict(masked, "", dict(found))

    def spans(self, text: str) -> list[Span]:
        """What is personal in `text`, in order, without overlaps."""
        return merged([span for piece in self.pieces(text) for span in piece])

    def pieces(self, text: str) -> Iterator[list[Span]]:
        """The same before what overlaps is merged, as it is found: each takes a moment."""
        for start in range(0, len(text), _PIECE):
            first = max(0, start - _OVERLAP)
            yield self._analysed(text[first : start + _PIECE], first)

    def _analysed(self, text: str, first: int) -> list[Span]:
        """Find in a piece that begins at character `first` of its text."""
        if not _WORTH_A_LOOK.search(text):
            return []
        results = self._engine.analyze(
            text,
            _LANGUAGE,
            entities=list(self._settings.entities),
            score_threshold=self._settings.least_score,
            context=sorted({word.lower() for word in _WORD.findall(text)}),
        )
        return [Span(first + r.start, first + r.end, r.entity_type, r.score) for r in results]

    def _masked(self, text: str, found: Counter[str]) -> str:
        parts, end = [], 0
        for span in self.spans(text):
            found[span.entity] += 1
            parts += [text[end : span.start], f"<{span.entity}>"]
            end = span.end
        return "".join((*parts, text[end:]))


def merged(spans: Sequence[Span]) -> list[Span]:
    """Spans that overlap as one, named after the surest and, of equals, the longest of them.

    No character that anybody recognized is left standing.
    """
    whole: list[Span] = []
    for span in sorted(spans, key=lambda span: (span.start, -span.end, span.entity)):
        if not whole or span.start >= whole[-1].end:
            whole.append(span)
            continue
        last = whole[-1]
        rank = (span.score, span.end - span.start) > (last.score, last.end - last.start)
        named = span if rank else last
        whole[-1] = Span(last.start, max(last.end, span.end), named.entity, named.score)
    return whole


def _engine(settings: PersonalDataSettings) -> "AnalyzerEngine":
    """Presidio without a language model: recognizers of patterns, and words around as context."""
    from presidio_analyzer import AnalyzerEngine, RecognizerRegistry
    from presidio_analyzer.nlp_engine import NoOpNlpEngine

    from training.data.curation.recognizers import recognizers

    registry = RecognizerRegistry(
        recognizers=recognizers(settings.entities, settings.phone_regions),
        supported_languages=[_LANGUAGE],
    )
    engine = NoOpNlpEngine([{"lang_code": _LANGUAGE, "model_name": ""}])
    return AnalyzerEngine(registry=registry, nlp_engine=engine, supported_languages=[_LANGUAGE])
