"""Rules that say how suspicious a text is: patterns with a weight, from a YAML file."""

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import Any, Final

from deployments.bounded_patterns import search
from deployments.guards.aside import still_wanted
from deployments.guards.verdict import Place

__all__ = ["Match", "Rules", "load_rules"]

_NEAR: Final = 500
"""Characters within which suspicions add up."""
_QUOTED: Final = 0.4
"""What is left of the weight of words that somebody quotes: they are rather spoken of."""
_OPENING: Final = "\"“„«'‘`"
_CLOSING: Final = "\"”“»'’`"
_REACH: Final = 40


@dataclass(frozen=True, slots=True)
class Match:
    """A pattern was found at `start` of the folded text."""

    name: str
    start: int
    weight: float


@dataclass(frozen=True, slots=True)
class _Pattern:
    name: str
    weight: float
    expression: Any
    needs: tuple[str, ...]
    needs_word: Any
    """An expression without which it is not tried, or None."""
    places: frozenset[str]


@dataclass(frozen=True, slots=True)
class Rules:
    """The rules of one check."""

    patterns: tuple[_Pattern, ...]
    cues: Any
    """What makes a sentence worth a closer look."""
    similar_from: float
    """Cosine to a known attack from which a sentence is one."""
    similar_by: float
    """So much closer it must be than to anything harmless."""
    attacks: tuple[str, ...]
    harmless: tuple[str, ...]

    def matches(self, folded: str, place: Place) -> list[Match]:
        """What is found. Raises TimeoutError where a pattern takes too long, or nobody waits."""
        found = []
        held: dict[int, bool] = {}
        for pattern in self.patterns:
            if place not in pattern.places:
                continue
            if pattern.needs and not any(word in folded for word in pattern.needs):
                continue
            if (word := pattern.needs_word) is not None:
                if id(word) not in held:
                    held[id(word)] = search(word, folded) is not None
                if not held[id(word)]:
                    continue
            still_wanted()
            match = search(pattern.expression, folded)
            if match is not None:
                quoted = _is_quoted(folded, match.start(), match.end())
                weight = pattern.weight * (_QUOTED if quoted else 1.0)
                found.append(Match(pattern.name, match.start(), weight))
        return sorted(found, key=lambda match: match.start)

    def score(self, folded: str, place: Place) -> float:
        """How suspicious a text is, 0 to 1: by its worst 500 characters."""
        found = self.matches(folded, place)
        return max((_joined(found, first) for first in range(len(found))), default=0.0)


def _joined(found: Sequence[Match], first: int) -> float:
    rest = 1.0
    for match in found[first:]:
        if match.start - found[first].start > _NEAR:
            break
        rest *= 1.0 - match.weight
    return 1.0 - rest


def _is_quoted(text: str, start: int, end: int) -> bool:
    opened = text[max(0, start - 1) : start]
    return (
        bool(opened)
        and opened in _OPENING
        and any(character in _CLOSING for character in text[end : end + _REACH])
    )


@cache
def load_rules(name: str) -> Rules:
    """Read `NAME.yaml` of this folder."""
    import regex
    import yaml

    path = Path(__file__).with_name(f"{name}.yaml")
    loaded: Mapping[str, Any] = yaml.safe_load(path.read_text(encoding="utf-8"))
    words: Mapping[str, str] = loaded["words"]

    def written(pattern: str) -> str:
        for word, alternatives in words.items():
            pattern = pattern.replace(f"{{{word}}}", alternatives)
        return pattern

    compiled = {word: regex.compile(rf"(?<!\w){form}\b") for word, form in words.items()}
    return Rules(
        tuple(
            _Pattern(
                one["name"],
                float(one["weight"]),
                regex.compile(rf"(?<!\w)(?:{written(one['is'])})"),
                tuple(one.get("needs", ())),
                compiled.get(one.get("needs_word", "")),
                frozenset(one.get("places", ("input", "passages", "output"))),
            )
            for one in loaded["patterns"]
        ),
        regex.compile(loaded["cues"]),
        float(loaded["similar_from"]),
        float(loaded["similar_by"]),
        tuple(loaded["attacks"]),
        tuple(loaded["harmless"]),
    )
