"""What a sentence must not get wrong: numbers, names, negations and opposites.

A passage may say the same in other words, but never with another number, another name or the
opposite sense. These checks are lexical and decide before any similarity is looked at, because
an embedding hardly sees such differences.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from deployments.gateway.grounding.numerals import SCALES, number_value, scaled
from deployments.gateway.grounding.terms import STOPWORDS, Token, stem, tokenize, words

__all__ = ["NEGATION_TERMS", "Facts", "conflict", "facts_of", "is_anaphoric", "opposites"]

_NEGATIONS: Final = words(
    "not no never cannot without neither nor none nobody nothing nowhere hardly unable "
    "nicht kein keine keinen nie niemals ohne pas jamais sans nunca jamás"
)
NEGATION_TERMS: Final = frozenset(map(stem, _NEGATIONS))
"""What negations are as terms."""
_CONTRACTED: Final = re.compile(r"n['’]t$", re.IGNORECASE)
_SCOPE: Final = 4
# Each line is a set of alternatives that exclude one another; an alternative lists its synonyms.
_EXCLUSIVE: Final = tuple(
    tuple(frozenset(map(stem, alternative.split())) for alternative in line.split("|"))
    for line in (
        "increase rise grow raise higher more above greater larger faster longer"
        "|decrease fall decline shrink reduce lower less below fewer smaller slower shorter",
        "before earlier|after later",
        "always|never",
        "all every|none",
        "maximum most largest highest|minimum least smallest lowest",
        "first|last",
        "allow permit accept enable|forbid prohibit reject refuse disable deny",
        "required mandatory|optional",
        "true|false",
        "open|closed",
        "safe|dangerous unsafe",
        "success succeed|failure fail",
        "start begin restart|stop end",
        "north|south|east|west",
        "left|right",
        "inside indoor|outside outdoor",
        "include|exclude",
        "legal|illegal",
        "possible|impossible",
        "hot warm|cold cool",
        "win won winner|lose lost loser",
        "buy buyer purchaser bought|sell seller sold",
        "import|export",
        "upload|download",
        "input|output",
        "client|server",
        "sender|receiver recipient",
        "lender|borrower",
        "landlord|tenant",
        "employer|employee",
        "teacher|student pupil",
        "male man men boy|female woman women girl",
        "father|mother|son|daughter|brother|sister|husband|wife",
        "king|queen|prince|princess",
        "day|night",
        "morning|afternoon|evening",
        "spring|summer|autumn|winter",
        "red|green|blue|yellow|orange|purple|pink|brown|black|white|gray grey",
        "gold|silver|bronze|copper|iron",
        "daily|weekly|monthly|yearly annual",
        "public|private",
        "horizontal|vertical",
        "positive|negative",
        "primary|secondary",
        "read|write",
        "physics|chemistry|medicine|literature|biology|mathematics",
    )
)
_OPENERS: Final = words(
    "according additionally also although based both certainly clearly currently finally first "
    "furthermore generally however instead later moreover next note originally overall second "
    "similarly since specifically then therefore third thus today typically usually yes"
)
_ANAPHORA: Final = words("he she it they this these those that his her its their here there both")
_CLAUSE_END: Final = re.compile(r"[.;:!?]|,\s|\bbut\b|\balthough\b|\bwhile\b|\bwhereas\b")


@dataclass(frozen=True, slots=True)
class Facts:
    """The checkable parts of a text."""

    numbers: frozenset[str]
    """Normalised: `1,200`, `1200` and `1.2 thousand` are the same."""
    units: frozenset[tuple[str, str]]
    """(number, unit) where the text gives a unit."""
    names: frozenset[str]
    """Terms written as names: capitals within a sentence, acronyms, codes with digits."""
    first_word: str | None
    """The opening word's term where it may be a name; its capital says nothing."""
    negated: frozenset[str]
    """Terms that stand within the reach of a negation and nowhere else."""
    has_negation: bool
    terms: frozenset[str]
    """Every term, function words included."""


def facts_of(text: str, tokens: Sequence[Token] | None = None) -> Facts:
    """Read the facts of `text`, usually one sentence."""
    tokens = tokenize(text) if tokens is None else tokens
    numbers, units = _numbers(tokens)
    names: set[str] = set()
    first: str | None = None
    for position, token in enumerate(tokens):
        if _is_code(token.text):
            names.add(token.term)
        elif token.text[0].isupper() and token.text.casefold() not in STOPWORDS | _NEGATIONS:
            if position and not _opens_sentence(text, token.start):
                names.add(token.term)
            elif not position and token.text.casefold() not in _OPENERS:
                first = token.term
    negated, has_negation = _negations(text, tokens)
    terms = frozenset(token.term for token in tokens)
    return Facts(
        frozenset(numbers), frozenset(units), frozenset(names), first, negated, has_negation, terms
    )


def conflict(claim: Facts, source: Facts, inherited: Iterable[str] = ()) -> str | None:
    """Why `source` cannot support `claim`, or None.

    `inherited` are names that `source` speaks of without repeating them.
    """
    known = source.terms | frozenset(inherited)
    if missing := claim.numbers - source.numbers:
        return f"number {', '.join(sorted(missing))}"
    if missing := claim.names - known:
        return f"name {', '.join(sorted(missing))}"
    if claim.first_word is not None and claim.first_word not in known:
        return f"name {claim.first_word}"
    if (unit := _other_unit(claim, source)) is not None:
        return f"unit {unit}"
    if _other_polarity(claim, source):
        return "negation"
    return _opposite(claim.terms, source.terms)


def opposites(claim: frozenset[str], source: frozenset[str]) -> frozenset[str]:
    """Terms of `claim` in whose place `source` says an alternative that excludes them."""
    return frozenset(
        term
        for alternatives in _EXCLUSIVE
        for mine in alternatives
        if claim & mine
        and not source & mine
        and any(
            theirs is not mine and source & theirs and not claim & theirs for theirs in alternatives
        )
        for term in claim & mine
    )


def is_anaphoric(tokens: Sequence[Token], facts: Facts) -> bool:
    """Whether a sentence opens with a word that points back to the one before.

    «The» does so only where the sentence has no name of its own.
    """
    opening = tokens[0].text.casefold() if tokens else ""
    return opening in _ANAPHORA or (opening == "the" and not facts.names)


def _is_code(text: str) -> bool:
    """Acronyms, single capitals and words with digits: `NASA`, `B`, `X200`."""
    letters = any(character.isalpha() for character in text)
    if letters and any(character.isdigit() for character in text):
        return number_value(text) is None
    return text.isupper() and text.isalpha() and text not in {"I", "A"}


def _opens_sentence(text: str, start: int) -> bool:
    before = text[:start].rstrip(" \t\"'“”‘’([*_")
    return not before or before[-1] in ".!?\n:"


def _numbers(tokens: Sequence[Token]) -> tuple[set[str], set[tuple[str, str]]]:
    numbers: set[str] = set()
    units: set[tuple[str, str]] = set()
    for position, token in enumerate(tokens):
        value = number_value(token.text)
        if value is None:
            continue
        following = tokens[position + 1] if position + 1 < len(tokens) else None
        if following is not None and following.text.casefold() in SCALES:
            value = scaled(value, following.text)
            following = tokens[position + 2] if position + 2 < len(tokens) else None
        if token.text.casefold() in {"one", "once"}:
            continue  # «one of», «once» say no number
        numbers.add(value)
        before = tokens[position - 1] if position else None
        for neighbour in (following, before):
            if neighbour is not None and neighbour.is_unit:
                units.add((value, neighbour.term))
                break
    return numbers, units


def _other_unit(claim: Facts, source: Facts) -> str | None:
    """Name a unit of the claim that the source gives differently for the same number."""
    for number, unit in sorted(claim.units):
        theirs = {other for value, other in source.units if value == number}
        if theirs and unit not in theirs:
            return f"{number} {unit}"
        if not theirs and unit not in source.terms:
            return f"{number} {unit}"
    return None


def _negations(text: str, tokens: Sequence[Token]) -> tuple[frozenset[str], bool]:
    negated: list[Token] = []
    found = False
    for position, token in enumerate(tokens):
        if token.text.casefold() not in _NEGATIONS and not _CONTRACTED.search(token.text):
            continue
        found = True
        reach = _CLAUSE_END.search(text, token.end)
        end = reach.start() if reach else len(text)
        scope = [t for t in tokens[position + 1 :] if t.is_content and t.start < end]
        negated += scope[:_SCOPE]
    within = {token.start for token in negated}
    affirmed = {token.term for token in tokens if token.start not in within}
    return frozenset(token.term for token in negated) - affirmed, found


def _other_polarity(claim: Facts, source: Facts) -> bool:
    if claim.has_negation:
        return not (source.has_negation and (source.negated & claim.negated or not claim.negated))
    return bool(source.negated & claim.terms)


def _opposite(claim: frozenset[str], source: frozenset[str]) -> str | None:
    """Name what the source says where the claim says an alternative that excludes it."""
    for alternatives in _EXCLUSIVE:
        for mine in alternatives:
            if not claim & mine or source & mine:
                continue
            for theirs in alternatives:
                if theirs is not mine and source & theirs and not claim & theirs:
                    return f"sense, {', '.join(sorted(source & theirs))}"
    return None
