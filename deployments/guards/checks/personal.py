"""Personal data: by the recognizers that also clean training data, and by the words around it.

What only looks like personal data is let be: addresses of a private network, versions, numbers of
orders and parts, lines that ring at nobody's.
"""

import asyncio
import ipaddress
import re
from collections.abc import Collection, Iterator, Sequence
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING, Final

from deployments.guards.aside import aside, still_wanted
from deployments.guards.checks.identifiers import identifiers, is_no_telephone
from deployments.guards.verdict import Finding, Place, Source, Span

if TYPE_CHECKING:
    from training.data.curation.personal_data import PersonalData
    from training.data.curation.personal_data import Span as Recognised

__all__ = ["PersonalDataCheck"]

_PART: Final = re.compile(r"\S*\d\S*|[A-Z]{1,4}|[-–/.]|[^\W\d_a-zà-ÿ][\w'’.-]*,?")
"""A word that may be a part of what is written with spaces: numbers, names, streets."""
_CONNECTING: Final = re.compile(
    r"(?:jan|feb|f[ée]v|m[aä]r|a[pbv]r|ma[iy]|jui?n|jui?l|aug|ao[uû]|ago|sept?|o[kc]t|nov|de[cz]"
    r"|d[ée]c|ene)\w{0,7}\.?|rue|avenue|boulevard|chemin|impasse|quai|route|place|calle|avenida|plaza"
    r"|paseo|carrera|camino|de|del|du|des|la|le|les|los|las|el|van|von|der|den|of|at|dot|\[at\]|\(at\)"
    r"|\[dot\]|\(dot\)|arroba|punkt|punto|point",
    re.IGNORECASE,
)
"""Words in lower case that may stand inside a date, a street, a name or an address."""
_WORD: Final = re.compile(r"\S+")
_TAIL: Final = 400
_LAST: Final = 2
"""Words that are held back whatever they are: «jane at …»."""
_PARTS: Final = 12
"""Words that are held back at most; what is longer is digits only."""
_FREE: Final = re.compile(
    r"(?:\+\d{1,2}[ -]?|00\d\d ?)?\(?0?(?:800|888|877|866|855|844|833|900|180\d)\)?\b"
)
"""Numbers that cost nothing or much: a company's."""
_NOBODYS_MAIL: Final = re.compile(
    r"(?:git|no-?reply|do-?not-?reply|mailer-daemon|postmaster)@"
    r"|(?:user|username|you|your[._-]?name|name|email|someone|foo|first[._]?name[._]last[._]?name)"
    r"@(?:[\w.-]+\.)?example\.\w+",
    re.IGNORECASE,
)
_VERSION: Final = re.compile(
    r"(?:version|release|firmware|build|\bv|section|chapter|kapitel|abschnitt|mask|gateway)\W{0,3}$",
    re.IGNORECASE,
)
_DOCUMENTED: Final = tuple(
    ipaddress.ip_network(net)
    for net in ("192.0.2.0/24", "198.51.100.0/24", "203.0.113.0/24", "2001:db8::/32")
)
"""Kept for examples: in a text they stand for somebody's."""


class PersonalDataCheck:
    """Finds personal data that has a pattern, or that is introduced: no names in passing."""

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
        """See Check. Raises TimeoutError."""
        del place
        found = await aside(self._spans, text, at_once=0, threads=self._thread)
        kinds = dict.fromkeys(span.kind.lower() for span in found)
        score = float(bool(found))
        return Finding(score, tuple(f"pii/{kind}" for kind in kinds), found)

    def undecided(self, text: str) -> int:
        """See Check: where the last two words begin, with the parts of a find before them."""
        skipped = max(0, len(text) - _TAIL)
        begin, is_joined = len(text), False
        for held, word in enumerate(reversed(list(_WORD.finditer(text, skipped)))):
            written = word.group()
            connects = _CONNECTING.fullmatch(written) is not None
            is_part = connects or _PART.fullmatch(written) is not None
            if held >= _LAST and not (is_joined or is_part):
                break
            if held >= _PARTS and not written.isdecimal():
                break
            begin, is_joined = word.start(), connects
        return begin

    async def warm_up(self) -> None:
        """See Check. Loading takes seconds."""
        await asyncio.get_running_loop().run_in_executor(self._thread, self._load)

    def _spans(self, text: str) -> tuple[Span, ...]:
        told = identifiers(text)
        known = {span.start for span in told}
        found = [Span(one.start, one.end, one.entity) for one in self._recognised(text)]
        kept = [span for span in (*told, *found) if _is_somebodys(text, span, known)]
        return tuple(_alone(kept))

    def _recognised(self, text: str) -> "list[Recognised]":
        from training.data.curation.personal_data import merged

        found: list[Recognised] = []
        for piece in self._load().pieces(text):
            still_wanted()  # a megabyte of digits would keep this thread for minutes
            found += piece
        return merged(found)

    def _load(self) -> "PersonalData":
        if self._finder is None:
            from training.data.curation.personal_data import PersonalData
            from training.data.settings import PersonalDataSettings

            self._finder = PersonalData(
                PersonalDataSettings(phone_regions=self._regions, least_score=self._least_score)
            )
        return self._finder


def _is_somebodys(text: str, span: Span, known: Collection[int]) -> bool:
    """Whether it is a person's; `known`: where something starts that is told to be."""
    written = text[span.start : span.end]
    if span.kind == "IP_ADDRESS":
        return _is_public(written) and not _VERSION.search(
            text[max(0, span.start - 20) : span.start]
        )
    if span.kind == "EMAIL_ADDRESS":
        return _NOBODYS_MAIL.match(written) is None
    if span.kind == "PHONE_NUMBER":
        if _FREE.match(written) or is_no_telephone(text, span.start, span.end):
            return False
        return not written.isdecimal() or span.start in known
    if span.kind == "CREDIT_CARD":
        return not is_no_telephone(text, span.start, span.end)
    return True


def _is_public(written: str) -> bool:
    """Whether an address may be a person's: not of a private network, nor a mask."""
    try:
        address = ipaddress.ip_address(written.split("/")[0].split("%")[0])
    except ValueError:
        return True
    if any(address in network for network in _DOCUMENTED):
        return True
    return address.is_global and not address.is_multicast


def _alone(spans: list[Span]) -> Iterator[Span]:
    """In order; of those that overlap, one over all of them, named after the longest."""
    whole: Span | None = None
    size = 0
    for span in sorted(spans, key=lambda span: (span.start, -span.end)):
        if whole is not None and span.start < whole.end:
            if span.end - span.start > size:
                whole, size = Span(whole.start, span.end, span.kind), span.end - span.start
            whole = Span(whole.start, max(whole.end, span.end), whole.kind)
            continue
        if whole is not None:
            yield whole
        whole, size = span, span.end - span.start
    if whole is not None:
        yield whole
