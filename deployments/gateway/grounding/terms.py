"""Words of a text as comparable terms: case-folded, stemmed, without function words."""

import re
import unicodedata
from collections.abc import Iterable, Mapping
from functools import lru_cache
from math import log
from typing import Any, Final

from deployments.gateway.grounding.numerals import SCALES, UNITS, number_value

__all__ = ["STOPWORDS", "Token", "content_terms", "stem", "tokenize", "weigh", "words"]


def words(text: str) -> frozenset[str]:
    """Return the words of a list that is written as one text."""
    return frozenset(text.split())


# Function words, question words and the verbs that questions are made of. Negations are not here:
# they carry meaning and `facts` looks at them.
STOPWORDS: Final = words(
    """
    a about above after again all also am an and any are as at be because been before being below
    between both but by can could did do does doing done down during each either else ever every few
    for from further get gets give given gives go goes got had has have having he her here hers him
    his how however i if in into is it its itself just let like made make makes many may me might
    more most much must my myself of off on once one only onto or other our ours out over own per
    please put said same say says shall she should so some such tell than that the their theirs them
    then there therefore these they this those through thus to too toward towards under until up
    upon us used use uses using very via want was we well were what when where whether which while
    located situated
    who whom whose why will with within would you your yours
    der das den dem des ein eine einen einem einer und oder ist sind wird werden von zu mit
    auf für im in am an bei es er sie wie was wer wo
    le la les un une des du de et ou est sont dans par pour sur que qui il elle
    el los las una unos y o es son en por para con se lo
    """
)

_TOKEN: Final = re.compile(
    r"""
    \d+(?:st|nd|rd|th)\b
  | \d+(?:[.,:]\d+)*       # 1,200  3.5  12:30
  | [\u3040-\u30ff\u3400-\u9fff\uac00-\ud7af]   # a character of a script without spaces
  | [^\W_]+(?:['’][^\W_]+)*   # words, with their apostrophes; x200
  | [%$€£°]
    """,
    re.VERBOSE,
)


class Token:
    """A word of a text: where it stands, as written, and as a term."""

    __slots__ = ("end", "is_unit", "start", "term", "text")

    def __init__(self, text: str, start: int, end: int) -> None:
        self.text = text
        self.start = start
        self.end = end
        self.is_unit = False
        self.term = number_value(text) or stem(text)

    @property
    def is_content(self) -> bool:
        """Whether it says something, other than a function word."""
        return self.text.casefold() not in STOPWORDS and not self.term.startswith("'")

    def __repr__(self) -> str:
        return f"Token({self.text!r})"


def tokenize(text: str) -> list[Token]:
    """Every word, number and unit sign of `text`, in order."""
    tokens = [Token(m.group(), m.start(), m.end()) for m in _TOKEN.finditer(text)]
    for position, token in enumerate(tokens):
        unit = UNITS.get(token.text.casefold())
        if unit is not None and _beside_number(tokens, position):
            token.term, token.is_unit = unit, True
    return tokens


def _beside_number(tokens: list[Token], position: int) -> bool:
    """`s` is a unit after a number only, and `$` before one."""
    before = tokens[position - 1].text if position else ""
    after = tokens[position + 1].text if position + 1 < len(tokens) else ""
    sign = not tokens[position].text.isalpha()
    return bool(
        number_value(before) or before.casefold() in SCALES or (sign and number_value(after))
    )


def content_terms(text: str) -> list[str]:
    """Return the terms of `text` without function words, in order and with repetitions."""
    return [token.term for token in tokenize(text) if token.is_content]


def weigh(
    terms: Iterable[str], document_frequency: Mapping[str, int], size: int
) -> dict[str, float]:
    """Weight of each term, by how rare it is among `size` windows (smoothed idf, at least 1).

    Robertson & Spärck Jones' idf, with the +1 that keeps it positive in so small a collection.
    """
    return {
        term: 1.0 + log((size + 1) / (document_frequency.get(term, 0) + 1)) for term in set(terms)
    }


@lru_cache(maxsize=1)
def _stemmer() -> Any:
    import snowballstemmer

    return snowballstemmer.stemmer("english")


@lru_cache(maxsize=20_000)
def stem(word: str) -> str:
    """`word` as a term: folded, without accents on Latin letters, stemmed."""
    folded = unicodedata.normalize("NFKC", word).casefold().replace("’", "'")
    folded = folded.removesuffix("'s")
    return str(_stemmer().stemWord(folded))
