"""Personal data, by the recognizers that also clean training data."""

import asyncio
import re
from collections.abc import Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from deployments.guards.verdict import Finding, Place, Source, Span

if TYPE_CHECKING:
    from training.data.curation.personal_data import PersonalData

__all__ = ["PersonalDataCheck"]

_NUMERIC: Final = re.compile(r"[+(]?\d[\d()./-]*|\(?\d+\)?|[A-Z]{2}\d{2}|[A-Z0-9]{4}|[-–/.]")
"""A word that may be a part of a phone number, a card or an IBAN, which are written with spaces."""
_WORD: Final = re.compile(r"\S+")


class PersonalDataCheck:
    """Finds personal data that has a pattern: no names and no addresses of people."""

    name = "personal_data"
    sources = frozenset(Source)
    needs_whole = False

    def __init__(self, phone_regions: Sequence[str], least_score: float) -> None:
        self._regions: Final = tuple(phone_regions)
        self._least_score: Final = least_score
        self._finder: PersonalData | None = None
        # One thread: the recognizers are slow where there are many digits, and not made for more.
        self._thread: Final = ThreadPoolExecutor(1, thread_name_prefix="personal-data")

    async def find(self, text: str, place: Place) -> Finding:
        """See Check."""
        del place
        loop = asyncio.get_running_loop()
        found = await loop.run_in_executor(self._thread, self._spans, text)
        kinds = dict.fromkeys(span.kind.lower() for span in found)
        score = float(bool(found))
        return Finding(score, tuple(f"pii/{kind}" for kind in kinds), found)

    def undecided(self, text: str) -> int:
        """See Check: where the last word begins, with the groups of digits before it."""
        words = list(_WORD.finditer(text))
        begin = len(text)
        if words and words[-1].end() == len(text):
            begin = words.pop().start()
        while words and _NUMERIC.fullmatch(words[-1].group()):
            begin = words.pop().start()
        return begin

    async def warm_up(self) -> None:
        """See Check. Loading takes seconds."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._load)

    def _spans(self, text: str) -> tuple[Span, ...]:
        found = self._load().spans(text)
        return tuple(Span(span.start, span.end, span.entity) for span in found)

    def _load(self) -> "PersonalData":
        if self._finder is None:
            from training.data.curation.personal_data import PersonalData
            from training.data.settings import PersonalDataSettings

            self._finder = PersonalData(
                PersonalDataSettings(phone_regions=self._regions, least_score=self._least_score)
            )
        return self._finder
