"""The words of a text as a reader takes them, whatever was done to hide them from a filter."""

import re
import unicodedata
from collections.abc import Iterator, Sequence
from dataclasses import dataclass
from typing import Final

__all__ = ["WORD", "WrittenWord", "fold", "forms", "origins", "written_words"]

_LONGEST_RUN: Final = 16
"""Single letters in a row that are tried as a word."""
_SPELLED: Final = range(4, 11)
"""Letters of a word that is spelled out."""

WORD: Final = re.compile(r"[^\W_](?:[\w*#@$!'-]*[\w*#@$])?|[@$][\w*#@$!]+", re.UNICODE)
_LEET: Final = str.maketrans("013457@$!", "oieastasi")
_LEET_SIGNS: Final = re.compile(r"[013457@$!]")
_REPEATED: Final = re.compile(r"(.)\1{2,}")
_INVISIBLE: Final = re.compile(
    "[\u00ad\u034f\u061c\u180e\u200b-\u200f\u202a-\u202e\u2060-\u2064\ufeff]"
)
_ACCENTS: Final = re.compile("[\u0300-\u036f]")
# Cyrillic and Greek letters that look like Latin ones, for words that mix the scripts.
_LOOK_ALIKES: Final = str.maketrans(
    "асеіјоѕхурԁһкмтвԛԝαβεικνορτυχ", "aceijosxypdhkmtbqwabeiknoptux"
)
_LATIN: Final = re.compile(r"[a-z]")
_OTHER_SCRIPT: Final = re.compile(r"[\u0370-\u03ff\u0400-\u052f]")


@dataclass(frozen=True, slots=True)
class WrittenWord:
    """A word of a folded text, `text[start:end]`."""

    forms: tuple[str, ...]
    """As written, and with disguises undone."""
    start: int
    end: int


def written_words(text: str) -> Iterator[WrittenWord]:
    """Yield the words of a folded text in order, and words spelled letter by letter."""
    letters: list[tuple[str, int, int]] = []
    for match in WORD.finditer(text):
        written = match.group()
        if len(written) == 1 and written.isalpha():
            letters.append((written, match.start(), match.end()))
            if len(letters) > _LONGEST_RUN:
                letters.pop(0)
        else:
            yield from _spelled(letters)
            letters.clear()
        yield WrittenWord(forms(written), match.start(), match.end())
    yield from _spelled(letters)


def _spelled(letters: Sequence[tuple[str, int, int]]) -> Iterator[WrittenWord]:
    """Single letters in a row, `f u c k`, as the words that they may spell."""
    for first in range(len(letters)):
        for size in _SPELLED:
            run = letters[first : first + size]
            if len(run) < size:
                break
            yield WrittenWord(("".join(letter for letter, _, _ in run),), run[0][1], run[-1][2])


def forms(written: str) -> tuple[str, ...]:
    """The word as written, and with disguises undone."""
    found: dict[str, None] = {written: None}
    bare = written.strip("'-")
    found[bare] = None
    for part in re.split(r"[-']|[*#]+$", bare):  # you're; **bold**
        found[part] = None
    found.pop("", None)
    joined = re.sub(r"[-'.]", "", bare)
    if len(joined) * 2 <= len(bare) + 1:  # f-u-c-k
        found[joined] = None
    for form in tuple(found):
        if _LATIN.search(form) and _OTHER_SCRIPT.search(form):
            found[form.translate(_LOOK_ALIKES)] = None
    for form in tuple(found):
        if _LEET_SIGNS.search(form) and any(character.isalpha() for character in form):
            found[form.translate(_LEET)] = None
            found[form.translate(_LEET).replace("i", "l")] = None
    for form in tuple(found):
        if _REPEATED.search(form):
            found[_REPEATED.sub(r"\1", form)] = None
            found[_REPEATED.sub(r"\1\1", form)] = None
    return tuple(found)


def fold(text: str) -> str:
    """Return `text` in lower case, without accents and without characters that nobody sees."""
    plain = unicodedata.normalize("NFKC", _INVISIBLE.sub("", text)).casefold().replace("’", "'")
    plain = _ACCENTS.sub("", unicodedata.normalize("NFD", plain))
    plain = unicodedata.normalize("NFC", plain)
    return re.sub(r"(?<=\b\w)[._](?=\w\b)", " ", plain)  # f.u.c.k


def origins(text: str, folded: str) -> list[int]:
    """Where each character of `folded`, which is `fold(text)`, and its end stand in `text`.

    Where letters were joined that no single character shows, all are the whole text's.
    """
    places = [place for place, character in enumerate(text) for _ in fold(character)]
    if len(places) != len(folded):
        return [0] * len(folded) + [len(text)]
    return [*places, len(text)]
