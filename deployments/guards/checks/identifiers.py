"""Personal data that is told by the words around it: «passport no. …», «born on …», «lives at …».

What a number is stands before it more often than in its check digits. So a made-up IBAN, or a
telephone number of a region that nobody listed, is found where a word says what it is; what has an
unmistakable form is found without. Names only where they are introduced. The words and forms are in
`identifiers.yaml`.
"""

import re
from collections.abc import Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from deployments.bounded_patterns import find_all, search
from deployments.guards.aside import still_wanted
from deployments.guards.verdict import Span

__all__ = ["identifiers", "is_no_telephone"]

_FORMS: Final = Path(__file__).with_name("identifiers.yaml")
_BETWEEN: Final = r"[\s:#=\"'“„(\[*–—-]{1,4}"
_WORDS: Final = rf"(?:{_BETWEEN}[^\W\d_]+[.,]?){{0,4}}?{_BETWEEN}"
"""Up to four words between what a number is and the number: «number of the patient is»."""
_NAMED: Final = re.compile(r"\{([a-z_]+)\}")
_SENTENCE_END: Final = re.compile(r"[.!?](?=\s+\S)|\n")
_BEFORE: Final = 60
"""Characters before digits in which stands what else they are."""
_SENTENCE: Final = 1_000
"""Characters before a street in which its sentence is looked for."""
_SHORT: Final = 9
"""Digits that a telephone number has at least where nothing separates them."""
_AS_DATE: Final = re.compile(
    r"\d{4}-\d\d-\d\d\b|\d{1,2}[./-]\d{1,2}[./-]\d{4}\b|\d{1,2}:\d\d",
)
_DIGIT: Final = re.compile(r"\d")
_INTRODUCED: Final = re.compile(
    r"nam|hei|appelle|nom est|patient|ll?amo|nombre|client|tenant|applica|employe|custom|claim"
    r"|student|nurse|mitarb|kund|mieter|bewerb|locat|salari|pacien|emplead|inquil|alumn"
    r"|\bat\b|arroba|arobase"
)
"""Without a digit and without one of these there is nothing: most texts are done with it."""


@dataclass(frozen=True, slots=True)
class _Form:
    kind: str
    pattern: Any
    needs: tuple[str, ...] = ()
    """Letters of which some are in every text that has it; empty: none."""


@dataclass(frozen=True, slots=True)
class _Book:
    told: tuple[_Form, ...]
    plain: tuple[_Form, ...]
    streets: tuple[Any, ...]
    nobodys: Any
    somebodys: Any
    others: Any


def identifiers(text: str) -> list[Span]:
    """What the words around it tell to be personal data; spans may overlap.

    Raises TimeoutError where a pattern takes too long, or nobody waits.
    """
    folded = text.casefold()
    if _DIGIT.search(text) is None and _INTRODUCED.search(folded) is None:
        return []
    book = _book()
    return [*_told(book, text), *_plain(book, text, folded), *_streets(book, text)]


def is_no_telephone(text: str, start: int, end: int) -> bool:
    """Whether the digits at `text[start:end]` are an order's, a part's or nobody's own number."""
    if _AS_DATE.match(text, start, end):
        return True
    before = text[max(0, start - _BEFORE) : start]
    return search(_book().others, before) is not None


def _told(book: _Book, text: str) -> Iterator[Span]:
    for form in book.told:
        still_wanted()
        for match in find_all(form.pattern, text, overlapped=True):
            start, end = match.span("value")
            if form.kind != "PHONE_NUMBER" or _is_telephone(text, start, end):
                yield Span(start, end, form.kind)


def _plain(book: _Book, text: str, folded: str) -> Iterator[Span]:
    for form in book.plain:
        if form.needs and not any(letters in folded for letters in form.needs):
            continue
        still_wanted()
        for match in find_all(form.pattern, text):
            start, end = match.span("value" if "value" in form.pattern.groupindex else 0)
            if form.kind != "PHONE_NUMBER" or _is_telephone(text, start, end):
                yield Span(start, end, form.kind)


def _streets(book: _Book, text: str) -> Iterator[Span]:
    for pattern in book.streets:
        still_wanted()
        for match in find_all(pattern, text):
            sentence = _sentence(text, match.start(), match.end())
            if not search(book.nobodys, sentence) or search(book.somebodys, sentence):
                yield Span(match.start(), match.end(), "STREET_ADDRESS")


def _is_telephone(text: str, start: int, end: int) -> bool:
    written = text[start:end]
    if written.isdecimal() and len(written) < _SHORT:
        return False
    return not is_no_telephone(text, start, end)


def _sentence(text: str, start: int, end: int) -> str:
    first, last = max(0, start - _SENTENCE), min(len(text), end + _SENTENCE)
    before = [match.end() for match in _SENTENCE_END.finditer(text, first, start)]
    after = _SENTENCE_END.search(text, end, last)
    return text[before[-1] if before else first : after.start() if after else last]


@cache
def _book() -> _Book:
    import regex
    import yaml

    loaded: Mapping[str, Any] = yaml.safe_load(_FORMS.read_text(encoding="utf-8"))
    forms: dict[str, str] = {}

    def written(listed: str | Sequence[str]) -> str:
        joined = listed if isinstance(listed, str) else "|".join(listed)
        return _NAMED.sub(lambda name: f"(?:{forms[name[1]]})", joined)

    for name, listed in loaded["forms"].items():
        forms[name] = written(listed)
    told = []
    for one in loaded["told"]:
        after, value = written(one["after"]), written(one["is"])
        if one["kind"] == "DATE_OF_BIRTH":  # the only value that has words
            value = f"(?i:{value})"
        whole = rf"(?i:(?<!\w)(?:{after})){_WORDS}(?P<value>{value})"
        told.append(_Form(one["kind"], regex.compile(whole)))
    said = {
        name: rf"\b(?:{written(loaded[name])})\b" for name in ("nobodys", "somebodys", "others")
    }
    return _Book(
        tuple(told),
        tuple(
            _Form(
                one["kind"],
                regex.compile(written(one["is"])),
                tuple(one.get("needs", "").split()),
            )
            for one in loaded["plain"]
        ),
        tuple(regex.compile(written(form)) for form in loaded["streets"]),
        regex.compile(said["nobodys"], regex.IGNORECASE),
        regex.compile(said["somebodys"], regex.IGNORECASE),
        regex.compile(rf"{said['others']}[^.!?\n\d]{{0,25}}$", regex.IGNORECASE),
    )
