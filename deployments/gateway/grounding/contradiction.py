"""A place in the passages that says otherwise than the answer.

A sentence is *contradicted* only where a passage speaks of the same thing and gives another number,
unit or date, the opposite sense, or the roles exchanged; where no passage speaks of it, it is
*unverifiable*. Another name is no contradiction: «X was born in Rome» does not deny that Y was.
"""

from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from typing import Final

from deployments.gateway.grounding.facts import (
    NEGATION_TERMS,
    Facts,
    conflict,
    opposites,
    other_dates,
)
from deployments.gateway.grounding.windows import Window

__all__ = ["Contradiction", "find_contradictions"]

_DECIDING: Final = frozenset({"number", "unit", "date", "negation", "sense,", "roles,"})
_SAME_THING: Final = 0.75
"""Weighted share of the undisputed terms from which a place speaks of the same thing."""
_PERHAPS: Final = 0.5
"""The same, from which it may: a judge or the embedding model has to say so."""
_SHARED: Final = 2
"""Undisputed terms that both must have."""


@dataclass(frozen=True, slots=True)
class Contradiction:
    """A place that may say otherwise: `passage.text[start:end]` of the window."""

    window: Window
    share: float
    """Of the undisputed terms, weighted, that the place has too."""
    reason: str
    """What is different: `other number 30`."""

    @property
    def certain(self) -> bool:
        """Whether it speaks of the same thing by its words alone."""
        return self.share >= _SAME_THING


def find_contradictions(
    facts: Facts, weights: Mapping[str, float], windows: Iterable[Sequence[Window]]
) -> list[Contradiction]:
    """The places that may contradict a claim with these facts and terms, the likeliest first."""
    found = []
    for passage in windows:
        for window in passage:
            why = conflict(facts, window.facts, window.inherited)
            if why is None or why.partition(" ")[0] not in _DECIDING:
                continue
            if why.startswith("number ") and not _gives_another(facts, window.facts):
                continue
            disputed = _disputed(facts, window.facts, why)
            rest = {term: weight for term, weight in weights.items() if term not in disputed}
            known = window.inherited | window.facts.terms | window.facts.numbers
            if _named(facts) - known - disputed:
                continue
            held = [term for term in rest if term in known]
            if len(held) < _SHARED or not any(term in window.facts.terms for term in held):
                continue
            share = sum(rest[term] for term in held) / sum(rest.values())
            if share >= _PERHAPS:
                found.append(Contradiction(window, share, f"other {why}"))
    return sorted(found, key=lambda one: -one.share)


def _gives_another(claim: Facts, source: Facts) -> bool:
    """Whether the source has a number in the place of the claim's: one of the same unit, if any."""
    rivals = source.numbers - claim.numbers - source.labels
    missing = claim.numbers - source.numbers
    if missing & claim.labels:
        return False  # `Boeing 747` is another thing than `Boeing 737`
    units = {unit for number, unit in claim.units if number in missing}
    if units:
        return any(unit in units and number in rivals for number, unit in source.units)
    return bool(rivals - {number for number, _ in source.units})


def _named(claim: Facts) -> frozenset[str]:
    """What the claim is about by name, and what it opens with, which may be a name."""
    return claim.names if claim.first_word is None else claim.names | {claim.first_word}


def _disputed(claim: Facts, source: Facts, why: str) -> frozenset[str]:
    """The terms in which the two differ: they must not count against «speaks of the same thing»."""
    units = frozenset(unit for _, unit in claim.units) if why.startswith("unit ") else frozenset()
    numbers = claim.numbers - source.numbers
    dates = other_dates(claim, source)
    return numbers | units | dates | NEGATION_TERMS | opposites(claim.terms, source.terms)
