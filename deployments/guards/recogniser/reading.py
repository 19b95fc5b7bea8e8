"""A text as the recogniser takes it: a row of words and signs, each with what it means."""

import re
from typing import Any, Final

from deployments.evaluation.metrics.disguises import fold
from deployments.guards.recogniser.lexicon import MARKS, Lexicon, Meaning

__all__ = ["meanings"]

_MARK: Final = {name: (number,) for number, name in enumerate(MARKS)}
_WORD: Final = r"(?P<word>[^\W_]+(?:['’][^\W_]+)*(?:[-_.@$!*][^\W_]+)*)"
_SIGNS: Final = r"""
  | (?P<quote>["“”„«»‘`]|(?<!\w)'|'(?!\w))
  | (?P<colon>:)
  | (?P<asked>[?؟？])
  | (?P<cry>[!！])
"""
_PLAIN: Final = re.compile(rf"{_WORD}{_SIGNS}", re.VERBOSE)
# Longest first, and only where one of their beginnings stands in the text: it takes much longer.
_RICH: Final = re.compile(
    rf"""
    (?P<url>https?://\S*|\bwww\.\S+)
  | (?P<mail>[\w.+-]+@[\w-]+\.\w+)
  | (?P<comment><!--|-->|/\*|\*/|display:\s?none|font-size:\s?[01]p|aria-hidden)
  | (?P<token><\|?[a-z_]*\|>|<\|[a-z_]+|<</?sys>>|</?s>|<(?:start|end)_of_turn>
        |\[/?(?:inst|system|user|assistant|admin|override)\b[^\]\n]{{0,40}}\]
        |\b(?:system|assistant|human|user|developer)\s?:(?=\s))
  | (?P<tag></?\s?(?:system|instructions?|assistant|admin|prompt|user|developer|important|context|ai
        |override|task|secret|hidden)[\w-]*\s?/?>)
  | (?P<image>!\[|\{{\{{?\w+\}}?\}}|<img\b|\?\w{{1,12}}=)
  | (?P<code>```)
  | (?P<heading>\#{{2,}}|={{3,}}|-{{3,}}|\*{{3,}})
  | {_WORD}{_SIGNS}
    """,
    re.VERBOSE,
)
_IS_RICH: Final = re.compile(
    r"[@<\[{#`]|://|www\.|--|==|\*\*|/\*|\*/|\?\w|display:|font-size:|aria-hidden|"
    r"(?:system|assistant|human|user|developer)\s?:"
)


def meanings(text: str, lexicon: Lexicon) -> list[Meaning]:
    """What each word and sign of `text` means, in order. A term of several words is one."""
    folded = fold(text)
    pattern: Any = _RICH if _IS_RICH.search(folded) else _PLAIN
    tokens = [(match.lastgroup, match.group()) for match in pattern.finditer(folded)]
    phrases, known = lexicon.phrases, lexicon.known
    found: list[Meaning] = []
    at, end = 0, len(tokens)
    while at < end:
        kind, word = tokens[at]
        at += 1
        if kind != "word":
            found.append(_MARK[kind])
            continue
        if word in phrases:
            size, concepts = lexicon.phrase(tokens, at - 1)
            if size:
                found.append(concepts)
                at += size - 1
                continue
        found += known.get(word) or lexicon.meaning(word)
    return found
