"""What words mean: from `lexicon.yaml`, six thousand words of two dozen languages to concepts."""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from deployments.evaluation.metrics.disguises import fold, forms

__all__ = ["MARKS", "Lexicon", "Meaning", "load_lexicon"]

Meaning = tuple[int, ...]
"""The concepts of a word."""
Words = tuple[str, ...]

MARKS: Final = (
    "other",
    "start",
    "url",
    "mail",
    "comment",
    "token",
    "tag",
    "image",
    "code",
    "heading",
    "blank",
    "quote",
    "colon",
    "asked",
    "cry",
    "number",
)
"""Concepts of signs. `other` is a word that means nothing here, `start` where a sentence begins."""
_OTHER: Final = (MARKS.index("other"),)
_NUMBER: Final = (MARKS.index("number"),)
_URL: Final = (MARKS.index("url"),)
_DOMAIN: Final = re.compile(
    r"[a-z0-9-]+(?:\.[a-z0-9-]+)*"
    r"\.(?:app|biz|cn|co|com|de|dev|edu|eu|example|fr|info|io|net|online|org|ru|site|top|uk|xyz)"
)
"""A site without `https://`: its parts are no words of the sentence."""
_SHORTEST_STEM: Final = 2
_SHORTEST_TYPO: Final = 6
_LONGEST_PART, _SHORTEST_PART = 14, 3
_KNOWN_OF_RUN: Final = 0.8
"""Share of a run of letters that must be known words."""
_RUN_TOGETHER: Final = 12
"""Letters from which a word without a meaning may be several."""
_REMEMBERED: Final = 50_000
"""Words whose concepts are remembered."""
_WIDE: Final = re.compile(
    "[\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af\u0600-\u06ff\u0900-\u097f\u0e00-\u0e7f]"
)
"""Scripts whose words do not stand apart, or carry much before and behind them."""


@dataclass(slots=True)
class Lexicon:
    """Concepts by word; a concept is a number, its name is `names[number]`."""

    names: tuple[str, ...]
    words: dict[str, Meaning]
    stems: dict[str, Meaning]
    phrases: dict[str, dict[str, tuple[tuple[Words, Meaning], ...]]]
    """By first and second word: the rest, and what it all means; longest first."""
    wide: Any
    """Finds the words of scripts that do not part them."""
    wide_words: dict[str, Meaning]
    shuffled: dict[tuple[str, str, str], Meaning]
    """By first letter, last letter and the letters between in order."""
    known: dict[str, tuple[Meaning, ...]]
    """Words that were met."""

    def meaning(self, word: str) -> tuple[Meaning, ...]:
        """What a folded word means, with disguises undone; several where it holds several words."""
        found = self.known.get(word)
        if found is None:
            if len(self.known) >= _REMEMBERED:
                self.known.clear()
            found = self.known[word] = self._read(word)
        return found

    def _parts(self, run: str) -> tuple[Meaning, ...]:
        """What the words mean that were written as one; empty where too little is known."""
        found: list[Meaning] = []
        at = known = 0
        while at < len(run):
            for size in range(min(_LONGEST_PART, len(run) - at), _SHORTEST_PART - 1, -1):
                if concepts := self.words.get(run[at : at + size]):
                    found.append(concepts)
                    at, known = at + size, known + size
                    break
            else:
                at += 1
        return tuple(found) if known >= _KNOWN_OF_RUN * len(run) else ()

    def phrase(self, tokens: Sequence[tuple[str, str]], at: int) -> tuple[int, Meaning]:
        """How many tokens from `at` on, where a term begins, are one; and its concepts."""
        after = tokens[at + 1][1] if at + 1 < len(tokens) else ""
        for rest, concepts in self.phrases[tokens[at][1]].get(after, ()):
            end = at + 2 + len(rest)
            if not rest or tuple(word for _, word in tokens[at + 2 : end]) == rest:
                return end - at, concepts
        return 0, ()

    def _read(self, word: str) -> tuple[Meaning, ...]:
        if word.isdecimal():
            return (_NUMBER,)
        if _WIDE.search(word):
            return tuple(self.wide_words[found] for found in self.wide.findall(word)) or (_OTHER,)
        if "." in word and _DOMAIN.fullmatch(word):
            return (_URL,)
        if concepts := self._concepts(word):
            return (concepts,)
        if any(sign in word for sign in "-_.'"):
            return tuple(self._concepts(part) or _OTHER for part in re.split(r"[-_.']", word))
        if len(word) >= _RUN_TOGETHER:
            return self._parts(word) or (_OTHER,)
        return (_OTHER,)

    def _concepts(self, word: str) -> Meaning:
        for form in forms(word):
            exact, stem = self.words.get(form, ()), self._stem(form)
            if exact or stem:
                return tuple(dict.fromkeys((*exact, *stem)))
        if len(word) >= _SHORTEST_TYPO and word.isalpha():
            return self.shuffled.get(_shuffle(word), ())
        return ()

    def _stem(self, word: str) -> Meaning:
        found: dict[int, None] = {}
        for size in range(_SHORTEST_STEM, len(word) + 1):
            found.update(dict.fromkeys(self.stems.get(word[:size], ())))
        return tuple(found)


def _shuffle(word: str) -> tuple[str, str, str]:
    return word[0], word[-1], "".join(sorted(word[1:-1]))


def _added(table: dict[Any, Meaning], key: Any, concept: int) -> None:
    table[key] = tuple(dict.fromkeys((*table.get(key, ()), concept)))


@cache
def load_lexicon() -> Lexicon:
    """Read the lexicon of this folder."""
    import yaml

    path = Path(__file__).with_name("lexicon.yaml")
    loaded: dict[str, str] = yaml.safe_load(path.read_text(encoding="utf-8"))
    names = (*MARKS, *loaded)
    words: dict[Any, Meaning] = {}
    stems: dict[Any, Meaning] = {}
    wide: dict[Any, Meaning] = {}
    phrases: dict[Any, Meaning] = {}
    for name, terms in loaded.items():
        concept = names.index(name)
        for term in _terms(terms):
            if _WIDE.search(term):
                _added(wide, term.replace(" ", ""), concept)
            elif " " in term:
                _added(phrases, tuple(term.removesuffix("*").split()), concept)
            elif term.endswith("*"):
                _added(stems, term[:-1], concept)
            else:
                _added(words, term, concept)
    shuffled: dict[Any, Meaning] = {}
    for term, concepts in words.items():
        if len(term) >= _SHORTEST_TYPO and term.isalpha():
            for concept in concepts:
                _added(shuffled, _shuffle(term), concept)
    longest_first = sorted(wide, key=len, reverse=True)
    return Lexicon(
        names,
        words,
        stems,
        _by_first(phrases),
        re.compile("|".join(map(re.escape, longest_first))),
        wide,
        shuffled,
        {},
    )


def _terms(written: str) -> Iterable[str]:
    for term in written.split(","):
        folded = fold(" ".join(term.split()))
        if folded:
            yield folded


def _by_first(
    phrases: dict[Words, Meaning],
) -> dict[str, dict[str, tuple[tuple[Words, Meaning], ...]]]:
    found: dict[str, dict[str, tuple[tuple[Words, Meaning], ...]]] = {}
    for words, concepts in sorted(phrases.items(), key=lambda one: -len(one[0])):
        seconds = found.setdefault(words[0], {})
        seconds[words[1]] = (*seconds.get(words[1], ()), (words[2:], concepts))
    return found
