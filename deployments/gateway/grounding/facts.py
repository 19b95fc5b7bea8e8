"""What a sentence must not get wrong: numbers, names, dates, negations, opposites and roles.

A passage may say the same in other words, but never with another number, another name or the
opposite sense. These checks are lexical and decide before any similarity is looked at, because
an embedding hardly sees such differences.
"""

import re
from collections.abc import Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from deployments.gateway.grounding.numerals import SCALES, number_value, scaled
from deployments.gateway.grounding.relations import Relation, relations_of, swapped
from deployments.gateway.grounding.terms import STOPWORDS, Token, stem, tokenize, words

__all__ = [
    "NEGATION_TERMS",
    "Facts",
    "conflict",
    "facts_of",
    "is_anaphoric",
    "opposites",
    "other_dates",
]

_NEGATIONS: Final = words(
    "not no never cannot without neither nor none nobody nothing nowhere hardly unable "
    "nicht kein keine keinen nie niemals ohne ne pas jamais sans nunca jamás"
)
NEGATION_TERMS: Final = frozenset(map(stem, _NEGATIONS))
"""What negations are as terms."""
_CONTRACTED: Final = re.compile(r"n['’]t$", re.IGNORECASE)
_SCOPE: Final = 4
# Each line is a set of alternatives that exclude one another; an alternative lists its synonyms.
_EXCLUSIVE: Final = tuple(
    tuple(frozenset(map(stem, alternative.split())) for alternative in line.split("|"))
    for line in (
        "increase rise rose risen grow grew grown raise higher more above greater larger faster "
        "longer|decrease fall fell fallen decline shrink shrank reduce cut lower less below fewer "
        "smaller slower shorter",
        "before earlier|after later",
        "always|never",
        "all every|none",
        "maximum most largest highest|minimum least smallest lowest",
        "first|last",
        "newest newer|oldest older",
        "allow permit accept enable|forbid forbidden prohibit ban reject refuse disable deny",
        "required mandatory|optional",
        "true|false",
        "open|closed",
        "safe|dangerous unsafe",
        "success succeed|failure fail",
        "start begin began begun restart|stop end",
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
_CALENDARS: Final = tuple(
    frozenset(map(stem, line.split()))
    for line in (
        "monday tuesday wednesday thursday friday saturday sunday",
        "january february march april may june july august september october november december",
        "montag dienstag mittwoch donnerstag freitag samstag sonntag",
        "januar februar märz april mai juni juli august september oktober november dezember",
    )
)
"""Names, of which one excludes the others."""
_DATES: Final = frozenset().union(*_CALENDARS)
_RANGE: Final = words("to and or bis und oder à et ou a y o")
_LIST: Final = 6
"""Words behind a number among which its unit stands, if numbers are between."""
_OPENERS: Final = words(
    "according additionally also although based both certainly clearly currently finally first "
    "furthermore generally however instead later may moreover next note originally overall second "
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
    labels: frozenset[str] = frozenset()
    """Numbers that belong to a name: `Boeing 747`."""
    relations: frozenset[Relation] = frozenset()
    """Who does what to whom, where the words of it stand between two names."""


def facts_of(text: str, tokens: Sequence[Token] | None = None) -> Facts:
    """Read the facts of `text`, usually one sentence."""
    tokens = tokenize(text) if tokens is None else tokens
    numbers, units = _numbers(tokens)
    names: set[str] = set()
    first: str | None = None
    for position, token in enumerate(tokens):
        if token.is_unit:
            continue
        if _is_code(token.text):
            names.add(token.term)
        elif token.text[0].isupper() and (
            token.term in _DATES or token.text.casefold() not in STOPWORDS | _NEGATIONS
        ):
            if position and not _opens_sentence(text, token.start):
                names.add(token.term)
            elif not position and token.text.casefold() not in _OPENERS:
                first = token.term
    negated, has_negation = _negations(text, tokens)
    terms = frozenset(token.term for token in tokens)
    return Facts(
        frozenset(numbers),
        frozenset(units),
        frozenset(names),
        first,
        negated,
        has_negation,
        terms,
        _labels(tokens),
        relations_of(text, tokens),
    )


def conflict(claim: Facts, source: Facts, inherited: Iterable[str] = ()) -> str | None:
    """Why `source` cannot support `claim`, or None.

    `inherited` are names that `source` speaks of without repeating them.
    """
    known = source.terms | frozenset(inherited)
    if missing := claim.numbers - source.numbers:
        return f"number {', '.join(sorted(missing))}"
    if missing := claim.names - known:
        if missing <= other_dates(claim, source):
            return f"date {', '.join(sorted(missing))}"
        return f"name {', '.join(sorted(missing))}"
    if claim.first_word is not None and claim.first_word not in known:
        return f"name {claim.first_word}"
    if (unit := _other_unit(claim, source)) is not None:
        return f"unit {unit}"
    agreed = _agreed(claim, source) | _agreed(source, claim)
    if _other_polarity(claim, source, agreed):
        return "negation"
    if (relation := swapped(claim.relations, source.relations)) is not None:
        return f"roles, {' '.join(relation.words)}"
    return _opposite(claim.terms - agreed, source.terms - agreed)


def other_dates(claim: Facts, source: Facts) -> frozenset[str]:
    """Months and days of the week of `claim` in whose place `source` names another one."""
    return frozenset(
        name
        for names in _CALENDARS
        for name in claim.names & names
        if (source.names & names) - claim.names
    )


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
        if value == number_value(token.text):
            following = _unit_after(tokens, position)
        before = tokens[position - 1] if position else None
        for neighbour in (following, before):
            if neighbour is not None and neighbour.is_unit:
                units.add((value, neighbour.term))
                break
    return numbers, units


def _unit_after(tokens: Sequence[Token], position: int) -> Token | None:
    """The unit of `10`, also in «10 to 20 minutes» and «10, 20 and 30 minutes»."""
    for token in tokens[position + 1 : position + 1 + _LIST]:
        if token.is_unit:
            return token
        if token.text.casefold() not in _RANGE and number_value(token.text) is None:
            return None
    return None


def _labels(tokens: Sequence[Token]) -> frozenset[str]:
    """Numbers behind a capital: a month's day or year is none, and one with a unit counts."""
    found = set()
    for before, token, after in zip(tokens, tokens[1:], [*tokens[2:], None], strict=False):
        value = number_value(token.text)
        named = before.text[0].isupper() and before.text.casefold() not in STOPWORDS
        counts = after is not None and (after.is_unit or after.text.casefold() in SCALES)
        if value is None or counts or not token.text[0].isdigit():
            continue
        if named and before.start and before.term not in _DATES:
            found.add(value)
    return frozenset(found)


def _other_unit(claim: Facts, source: Facts) -> str | None:
    """Name a unit of the claim that the source gives differently for the same number."""
    for number, unit in sorted(claim.units):
        theirs = {other for value, other in source.units if value == number}
        if unit in theirs:
            continue
        if theirs or unit not in source.terms or any(unit == other for _, other in source.units):
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
        negated += scope[:_SCOPE] or _before(text, tokens[:position])
    within = {token.start for token in negated}
    affirmed = {token.term for token in tokens if token.start not in within}
    return frozenset(token.term for token in negated) - affirmed, found


def _before(text: str, tokens: Sequence[Token]) -> list[Token]:
    """The word that a negation at the end of its clause denies: «das gilt nicht»."""
    last = next((token for token in reversed(tokens) if token.is_content), None)
    if last is None or _CLAUSE_END.search(text, last.end, tokens[-1].end + 1):
        return []
    return [last]


def _agreed(negating: Facts, other: Facts) -> frozenset[str]:
    """Terms of both that say the same, one of them negated: «not allowed», «forbidden»."""
    return frozenset(
        term
        for alternatives in _EXCLUSIVE
        if len(alternatives) == 2
        for mine, theirs in (alternatives, alternatives[::-1])
        if negating.negated & mine and not other.negated and other.terms & theirs
        for term in (negating.negated & mine) | (other.terms & theirs)
    )


def _other_polarity(claim: Facts, source: Facts, agreed: frozenset[str]) -> bool:
    if agreed:
        return False
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
