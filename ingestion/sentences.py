"""Sentence boundaries as spans, for any language that marks them, without a model.

The rule of the field (Kiss & Strunk, "Unsupervised Multilingual Sentence Boundary Detection", 2006)
cut down to what needs no training: a terminator ends a sentence unless the token before it is an
abbreviation, an initial or an ordinal, or the word after it goes on in lower case.
"""

import re
from collections.abc import Iterator

__all__ = ["sentence_spans"]


def _words(text: str) -> frozenset[str]:
    return frozenset(text.split())


# Never the last word of a sentence: titles, references, "for example" in several languages.
_ABBREVIATIONS = _words(
    """
    dr mr mrs ms messrs prof rev gen sen rep gov capt col lt sgt cmdr hon st mt ft jr sr
    fig figs eq eqs ref refs sec secs sect ch chap vol vols no nos nr pp pt ed eds al cf vs viz
    e.g i.e eg ie approx ca resp incl excl tel dept univ
    z.b d.h u.a o.ä bzw ggf evtl vgl abs art hr fr bd zzgl inkl ca str
    mm mme mlle p.ex c.-à-d env p sra srta ud uds p.ej núm pág dott sig
    """
)
# May end a sentence: it does when the next word commonly opens one.
_AMBIGUOUS = _words("etc inc ltd co corp bros llc plc gmbh a.m p.m ph.d usw u.s.w ecc")
_OPENERS = _words(
    """
    the a an this that these those it he she they we you i in on at for from to with by as if when
    while where after before since however but and so there here its his her their our what who how
    der die das ein eine es er sie wir in im am und aber le la les un une il elle nous et mais
    el los las una y pero
    """
)
_MONTHS = _words(
    "januar februar märz april mai juni juli august september oktober november dezember"
)

_BOUNDARY = re.compile(
    r"""
    (?P<wide>[。！？｡．]+[」』”’）】》]*                      # needs no space after it
           | (?<=[぀-ヿ㐀-鿿가-힯])[!?]+[」』”’）】》)]*(?=[぀-ヿ㐀-鿿가-힯]))  # after NFKC
  | (?P<end>[.!?…‽؟۔।॥]+)
    (?P<close>["'”’»)\]}*_]*(?:[ ]?\[\d+(?:[,–-][ ]?\d+)*\])*)(?=\s|$)   # quotes, footnote marks
  | (?P<line>\n[ \t]*(?=\n)                                # a blank line
           | \n(?=[ \t]*(?:[-*•‣▪–]|\d{1,3}[.)]|\#{1,6}|\|)[ ]?)) # a list item, heading, table row
    """,
    re.VERBOSE,
)
_NEXT_WORD = re.compile(r"[^\W_]+")
_OPENING_MARKS = "([{\"'“„«"
_OPENING = " \t\n\"'“”„«»‘’([{*_—–-"
_TOKEN_REACH = 40


def sentence_spans(text: str) -> list[tuple[int, int]]:
    """Return the `(start, end)` of each sentence of `text`, in order, without outer space.

    Every character that is not whitespace lies in exactly one span. A blank line, a list item or a
    table row ends a sentence too; other line breaks do not.
    """
    spans: list[tuple[int, int]] = []
    start = 0
    for cut in _cuts(text):
        _append_trimmed(spans, text, start, cut)
        start = cut
    _append_trimmed(spans, text, start, len(text))
    return spans


def _cuts(text: str) -> Iterator[int]:
    for match in _BOUNDARY.finditer(text):
        if match["end"] is None or _ends_sentence(text, match):
            yield match.end()


def _append_trimmed(spans: list[tuple[int, int]], text: str, start: int, end: int) -> None:
    while start < end and text[start].isspace():
        start += 1
    while end > start and text[end - 1].isspace():
        end -= 1
    if start < end:
        spans.append((start, end))


def _ends_sentence(text: str, match: re.Match[str]) -> bool:
    following = text[match.end() : match.end() + _TOKEN_REACH].lstrip(_OPENING)
    goes_on = following[:1].islower()
    if match["end"] != ".":
        return not (goes_on and (match["close"] or match["end"].startswith((".", "…"))))
    if goes_on:
        return False
    return not _is_abbreviated(text, match, following)


def _is_abbreviated(text: str, match: re.Match[str], following: str) -> bool:
    start = match.start()
    before = text[max(0, start - _TOKEN_REACH) : start].rsplit(None, 1)
    if not before or text[start - 1].isspace() or match["close"].strip(")\"'”’»"):
        return False
    last = before[-1].lstrip(_OPENING_MARKS)
    lowered = last.lower()
    word_match = _NEXT_WORD.match(following)
    word = word_match.group().lower() if word_match else ""
    if lowered in _ABBREVIATIONS:
        return not match["close"]
    if lowered in _AMBIGUOUS or _is_acronym(last):
        return word not in _OPENERS
    if len(last) == 1 and last.isalpha():
        return last.isupper() and last.isascii() and last != "I"
    if last.isdigit() and len(last) <= 2:
        return word in _MONTHS or _starts_line(text, start - len(last))
    return False


def _is_acronym(token: str) -> bool:
    """`U.S` and the like: single letters joined by points."""
    letters = token.split(".")
    return len(letters) > 1 and all(len(letter) == 1 and letter.isalpha() for letter in letters)


def _starts_line(text: str, position: int) -> bool:
    """Tell a list number from a number that ends a sentence."""
    before = text[max(0, position - _TOKEN_REACH) : position].rstrip(" \t")
    return not before or before.endswith("\n")
