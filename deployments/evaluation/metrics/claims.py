"""An answer cut into claims: its sentences, and their coordinated clauses where that is simple.

A clause is cut off only where both sides have a verb and it is plain what the second is about: it
names its own subject, or it leaves out or points back to the first one's, which is then put in its
place. In doubt a sentence stays whole, which asks for more support and not for less.
"""

import re
from dataclasses import dataclass
from typing import Final

from deployments.gateway.grounding.markers import strip_markers
from deployments.gateway.grounding.terms import content_terms, words
from ingestion.sentences import sentence_spans

__all__ = ["MOST_CHARACTERS", "MOST_CLAIMS", "Claim", "claims_of"]

MOST_CHARACTERS: Final = 40_000
"""What is read of an answer."""
MOST_CLAIMS: Final = 300
_SENTENCE_CHARACTERS: Final = 2_000
"""Longer ones are no prose; they stay whole."""
_LONGEST_SUBJECT: Final = 8
"""Words before the verb."""

_NUMBERS: Final = re.compile(r"\[\^?(\d{1,3}(?:\s?[,;–-]\s?\d{1,3})*)\](?!\()")
_SEPARATOR: Final = re.compile(
    r"""
    ;\s+(?:and\s+|but\s+|und\s+|aber\s+|et\s+|mais\s+|y\s+|pero\s+|however,?\s+)?
  | ,?\s+(?:and|but|while|whereas|und|aber|et|mais|tandis\sque|y|pero|mientras\sque|ma|mas)\s+
    """,
    re.IGNORECASE | re.VERBOSE,
)
_WORD: Final = re.compile(r"[^\W_]+(?:['’.,-][^\W_]+)*")
_VERBS: Final = words(
    """
    is are was were has have had does do did can could will would may might must should shall
    isn't aren't wasn't weren't hasn't doesn't didn't can't won't cannot
    became becomes began begins belongs brings built came carries comes consists contains contained
    costs cost covers covered does ends ended gave gets gives goes got grew grows had helps holds
    includes keeps lasts led leads lies lived lives made makes means measures needs opens ordered
    orbits pays plays produces protects provides ran reads received receives refers refuses rejects
    remains replaces requires restarts returns returned rises rose runs said saw says sends sees
    serves shows sold spoke speaks stands starts started stays stops stopped stores stored supports
    takes tells took turned turns uses used wants went weighs won works writes wrote
    ist sind wurde wurden hat haben hatte hatten kann können muss müssen wird werden soll sollen
    kostet dauert wiegt enthält gilt gewann umfasst
    est sont était étaient fut a ont avait peut peuvent doit doivent coûte dure pèse contient couvre
    fue era eran son está están tiene tienen puede pueden debe deben cuesta dura pesa contiene cubre
    """
) - words("a")
_BACKWARDS: Final = words("it he she they er sie il elle ils elles ella ellos")
_OWN: Final = words(
    """
    the a an this that these those its his her their our we you i there each every all both no
    der die das ein eine diese dieser jede le la les un une ce cette ces el los las una esta este
    """
)
_AFTER_PARTICIPLE: Final = words(
    "the a an in on at to by from for with as of over under into its his her their that until"
)
_PAST: Final = re.compile(r"[a-z]{2,}ed")
_SUBORDINATE: Final = re.compile(
    r"\b(?:which|who|whose|whom|that|if|when|because|since|until|unless|whether|although|dass|weil|"
    r"wenn|ob|que|qui|si|quand|lorsque|porque|cuando|between|entre|zwischen)\b",
    re.IGNORECASE,
)


@dataclass(frozen=True, slots=True)
class Claim:
    """One thing that an answer says: `answer[start:end]`, as a text that stands for itself."""

    text: str
    """Without citation markers, and with the subject that a clause leaves out."""
    start: int
    end: int
    sentence: str
    """The sentence that it was cut from, without markers."""
    cites: frozenset[int] = frozenset()
    """Numbers of the passages that the sentence names in brackets, from 1."""


def claims_of(answer: str) -> list[Claim]:
    """Cut `answer` into at most 300 claims, in order; only its first 40,000 characters are read."""
    answer = answer[:MOST_CHARACTERS]
    claims: list[Claim] = []
    for start, end in sentence_spans(answer):
        written = answer[start:end]
        sentence = strip_markers(written).strip()
        if not _WORD.search(sentence):
            if claims and (cited := _cited(written)):  # «… lasts 24 months. [1]»
                last = claims[-1]
                claims[-1] = Claim(
                    last.text, last.start, last.end, last.sentence, last.cites | cited
                )
            continue
        cites = _cited(written)
        same = _same(written, sentence)  # behind a marker, places have moved
        for text, first, until in _clauses(sentence):
            place = (
                start + first if first <= same else start,
                start + until if until <= same and until < len(sentence) else end,
            )
            claims.append(Claim(text, *place, sentence, cites))
            if len(claims) == MOST_CLAIMS:
                return claims
    return claims


def _same(left: str, right: str) -> int:
    """Length of the longest common beginning."""
    pairs = enumerate(zip(left, right, strict=False))
    return next((n for n, (a, b) in pairs if a != b), min(len(left), len(right)))


def _cited(written: str) -> frozenset[int]:
    numbers: set[int] = set()
    for match in _NUMBERS.finditer(written):
        for part in re.split(r"\s?[,;]\s?", match[1]):
            first, _, last = re.sub(r"\s", "", part).replace("–", "-").partition("-")
            numbers.update(range(int(first), int(last or first) + 1))
    return frozenset(numbers)


def _clauses(sentence: str) -> list[tuple[str, int, int]]:
    """Return the self-standing clauses of `sentence` with their places in it."""
    if len(sentence) > _SENTENCE_CHARACTERS:
        return [(sentence, 0, len(sentence))]
    cuts = [(0, 0)]
    subject: str | None = None
    prefixes: list[str | None] = [None]
    for match in _SEPARATOR.finditer(sentence):
        start, skipped = cuts[-1][1], prefixes[-1]
        head = (f"{skipped} " if skipped else "") + sentence[start : match.start()]
        following = _SEPARATOR.search(sentence, match.end())
        tail = sentence[match.end() : following.start() if following else len(sentence)]
        found = _subject(head)
        subject = found if found is not None else subject
        if found is None or _SUBORDINATE.search(head) or len(set(content_terms(head))) < 2:
            continue
        opening = _opening(tail, subject)
        if opening is None:
            continue
        prefix, skip = opening
        if len(set(content_terms(f"{prefix or ''} {tail}"))) < 2:
            continue
        cuts.append((match.start(), match.end() + skip))
        prefixes.append(prefix)
    ends = [cut[0] for cut in cuts[1:]] + [len(sentence)]
    clauses = []
    for (_, start), prefix, end in zip(cuts, prefixes, ends, strict=True):
        text = sentence[start:end].strip()
        clauses.append((f"{prefix} {text}" if prefix else text, start, end))
    return clauses


def _opening(tail: str, subject: str | None) -> tuple[str | None, int] | None:
    """Return what to put before a clause and how much of it to skip; None: it is none."""
    spoken = list(_WORD.finditer(tail))
    if len(spoken) < 2:
        return None
    first = spoken[0].group()
    lowered = first.casefold()
    if lowered in _BACKWARDS:
        if subject is None or not any(_is_verb(tail, spoken, n) for n in (1, 2)):
            return None
        if subject.casefold() in _BACKWARDS:
            return None, 0
        return subject, spoken[1].start()
    if _is_verb(tail, spoken, 0):
        return None if subject is None else (subject, 0)
    own = lowered in _OWN or not first[0].islower()
    verb = any(_is_verb(tail, spoken, n) for n in range(1, min(len(spoken), _LONGEST_SUBJECT)))
    return (None, 0) if own and verb else None


def _subject(clause: str) -> str | None:
    """Return what stands before the clause's first verb, None where none is found."""
    spoken = list(_WORD.finditer(clause))
    for position in range(1, min(len(spoken), _LONGEST_SUBJECT + 1)):
        if not _is_verb(clause, spoken, position):
            continue
        subject = clause[: spoken[position].start()].strip()
        pronoun = subject.casefold() in _BACKWARDS | {"this", "that", "there", "i", "we", "you"}
        if content_terms(subject) or pronoun:
            return subject
    return None


def _is_verb(text: str, spoken: list[re.Match[str]], position: int) -> bool:
    if position >= len(spoken):
        return False
    word = spoken[position].group().casefold().replace("’", "'")
    if word in _VERBS:
        return True
    if not _PAST.fullmatch(word) or position + 1 >= len(spoken):
        return False
    following = spoken[position + 1].group()
    gap = text[spoken[position].end() : spoken[position + 1].start()]
    return not gap.strip() and (
        following in _AFTER_PARTICIPLE or following[0].isdigit() or following[0].isupper()
    )
