"""Hostile sentences by their frame: «you are … a NOUN», «I will HARM you», «GROUP are VERMIN».

Lists of words know what somebody thought of. A frame knows how one speaks to somebody whom one
wants to hurt, and its classes of words stand in for each other. The frames are in `hostility.yaml`.
What is reported, asked about or denied is let be: «he called me an idiot».
"""

import re
from collections.abc import Collection, Iterator, Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

from deployments.bounded_patterns import find_all, search
from deployments.evaluation.metrics.disguises import fold

__all__ = ["HostileSentence", "hostile_sentences", "is_meant"]

_FRAMES: Final = Path(__file__).with_name("hostility.yaml")
_SENTENCE: Final = re.compile(r"[^.!?\n]{1,600}[.!?\n]*")
"""A sentence; what is longer is a list or code, and read in pieces."""
_ENDS: Final = ".!?\n"
_WORD: Final = re.compile(r"[^\W_]+")
_NAME: Final = re.compile(r"\{(\w+)\}")
_SEVERAL: Final = 2
_DENIAL: Final = 60
"""Characters before a frame in which it is turned around."""
_REPORT: Final = 200
"""Characters before it in which it is said to be somebody else's."""
_LEET: Final = str.maketrans("013457@$", "oieastas")
_DISGUISED: Final = re.compile(r"\b(?=\w*[^\W\d_])[\w@$]*[013457@$][\w@$]*\b")
_STARRED: Final = re.compile(r"(?<=[^\W\d_])[*#](?=[*#]*[^\W\d_])")
_STRETCHED: Final = re.compile(r"([^\W\d_])\1{2,}")


class HostileSentence(NamedTuple):
    """A frame that was found: `folded[start:end]`."""

    language: str
    """Whose frame it is."""
    category: str
    """As `toxicity.yaml` names it."""
    start: int
    end: int


@dataclass(frozen=True, slots=True)
class _Frame:
    category: str
    expression: Any
    when: frozenset[str]
    """A word of each of what must be in the sentence; empty: nothing."""


@dataclass(frozen=True, slots=True)
class _Language:
    code: str
    signs: frozenset[str]
    """Where a sentence has those of another language only, its frames are not tried."""
    denied: Any
    frames: tuple[_Frame, ...]
    vile: frozenset[str]
    """Several of them, said to somebody, are an insult, whatever the frame."""
    address: frozenset[str]
    things: frozenset[str]
    """What else they may be said of."""


def hostile_sentences(folded: str, languages: Collection[str]) -> Iterator[HostileSentence]:
    """Yield the frames of `languages` that fit in a text that `disguises.fold` has read.

    One find a sentence and category. Where an expression takes too long, it does not fit.
    """
    spoken = [language for language in _languages() if language.code in languages]
    for match in _SENTENCE.finditer(folded):
        yield from _in_sentence(match.group(), match.start(), spoken)


def is_meant(folded: str, start: int, code: str) -> bool:
    """Whether what stands at `start` is said, rather than reported, asked about or denied.

    Denials are read in the languages that have frames.
    """
    begin = max(folded.rfind(end, max(0, start - _REPORT), start) for end in _ENDS) + 1
    begin = max(begin, start - _REPORT, 0)
    if search(_reported(), folded, begin, start) is not None:
        return False
    begin = max(begin, start - _DENIAL)
    return not any(
        search(language.denied, folded, begin, start)
        for language in _languages()
        if language.code == code
    )


def _in_sentence(
    written: str, offset: int, languages: Sequence[_Language]
) -> Iterator[HostileSentence]:
    sentence = _undisguised(written)
    words = frozenset(_WORD.findall(sentence))
    found: set[str] = set()
    spoken = [one for one in languages if not one.signs.isdisjoint(words)]
    for language in spoken or languages:
        vile = language.vile & words
        if len(vile) >= _SEVERAL and language.address & words and not language.things & words:
            start = min(sentence.index(word) for word in vile)
            if is_meant(sentence, start, language.code):
                found.add("insult")
                yield HostileSentence(
                    language.code, "insult", offset + start, offset + len(sentence)
                )
        for frame in language.frames:
            if frame.category in found or (frame.when and frame.when.isdisjoint(words)):
                continue
            fits = _fits(frame.expression, sentence)
            match = next((m for m in fits if is_meant(sentence, m.start(), language.code)), None)
            if match is not None:
                found.add(frame.category)
                span = offset + match.start(), offset + match.end()
                yield HostileSentence(language.code, frame.category, *span)


def _fits(expression: Any, sentence: str) -> Sequence[Any]:
    try:
        return find_all(expression, sentence)
    except TimeoutError:
        return ()


def _undisguised(sentence: str) -> str:
    """The same number of characters but for stretched letters, which no disguise of a word has."""
    plain = _DISGUISED.sub(lambda word: word.group().translate(_LEET), sentence)
    plain = _STARRED.sub("_", plain)  # a letter like another, where any word may stand
    return _STRETCHED.sub(r"\1", plain)


@cache
def _loaded() -> Mapping[str, Any]:
    import yaml

    loaded: Mapping[str, Any] = yaml.safe_load(_FRAMES.read_text(encoding="utf-8"))
    return loaded


@cache
def _reported() -> Any:
    import regex

    return regex.compile("|".join(_loaded()["reported"]))


@cache
def _languages() -> tuple[_Language, ...]:
    return tuple(_language(code, rules) for code, rules in _loaded()["languages"].items())


def _language(code: str, rules: Mapping[str, Any]) -> _Language:
    import regex

    classes = {
        name: sorted({fold(word.strip()) for word in words.split(",")})
        for name, words in rules["classes"].items()
    }
    telling = {name: {_telling(word) for word in words} for name, words in classes.items()}
    frames = []
    for frame in rules["frames"]:
        written = _written("|".join(frame["is"]), rules["parts"], classes)
        used = {name: words for name, words in classes.items() if rf"\L<{name}>" in written}
        when = frozenset[str]().union(*(telling[name] for name in frame.get("when", "").split()))
        frames.append(_Frame(frame["category"], regex.compile(written, **used), when))
    denied = regex.compile("|".join(rules["denied"]))
    signs = frozenset(rules["signs"].split())
    counted = (frozenset(classes[name]) for name in ("vile", "address", "things"))
    return _Language(code, signs, denied, tuple(frames), *counted)


def _telling(words: str) -> str:
    """The longest of several words: the rarest, mostly."""
    found: list[str] = _WORD.findall(words)
    return max(found, key=len)


def _written(form: str, parts: Mapping[str, str], classes: Mapping[str, list[str]]) -> str:
    """`form` with its parts in place, and its classes as `regex` names lists of words."""

    def put(name: re.Match[str]) -> str:
        if name[1] in classes:
            return rf"\L<{name[1]}>"
        return _NAME.sub(put, parts[name[1]]) if name[1] in parts else name[0]

    return _NAME.sub(put, form)
