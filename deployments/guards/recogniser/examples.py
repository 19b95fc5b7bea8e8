"""Labelled examples for the recogniser, drawn from the forms in `examples/`."""

import random
import re
from collections.abc import Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, Literal

__all__ = ["KINDS", "Example", "Kind", "examples"]

Kind = Literal["injection.passages", "injection.input", "jailbreak"]
KINDS: Final[tuple[Kind, ...]] = ("injection.passages", "injection.input", "jailbreak")
_FOLDER: Final = Path(__file__).with_name("examples")
_GROUP: Final = re.compile(r"\(([^()]*)\)")
_SHARED: Final = re.compile(r"\$([a-z_]+)")


@dataclass(frozen=True, slots=True)
class Example:
    """A text, and whether it is an attack of each kind; a kind that is missing may be either."""

    text: str
    family: str
    labels: dict[Kind, bool]
    form: int
    """Which form it was drawn from: texts of one form say much the same."""


def examples(seed: int = 0) -> list[Example]:
    """All examples, the same for the same `seed`; no text twice."""
    shared = {name: words.split("|") for name, words in _loaded("words").items()}
    found: dict[str, Example] = {}
    form = 0
    for source in ("injection", "jailbreak", "harmless"):
        for family in _loaded(source):
            drawn = random.Random(f"{seed}/{source}/{family['family']}")  # noqa: S311 - no secret
            forms = family["forms"].splitlines()
            each = -(-family["draws"] // len(forms))
            for written in forms:
                form += 1
                for text in _drawn(written, each, drawn, shared):
                    name = f"{source}/{family['family']}"
                    found.setdefault(text, Example(text, name, _labels(source, family), form))
    return list(found.values())


def _loaded(name: str) -> Any:
    import yaml

    return yaml.safe_load((_FOLDER / f"{name}.yaml").read_text(encoding="utf-8"))


def _labels(source: str, family: dict[str, Any]) -> dict[Kind, bool]:
    if source == "injection":  # whether it is a jailbreak too is left open
        labels: dict[Kind, bool] = {"injection.passages": True}
        return labels | ({"injection.input": True} if family.get("input") else {})
    if source == "jailbreak":  # in a document, either is an attack
        return {"injection.passages": True, "jailbreak": True}
    places = {"input": KINDS[1:], "both": KINDS}
    return dict.fromkeys(places[str(family.get("place", "both"))], False)


def _drawn(
    written: str, count: int, drawn: random.Random, shared: Mapping[str, list[str]]
) -> Iterator[str]:
    for _ in range(count):
        text = written
        while _SHARED.search(text):
            text = _SHARED.sub(lambda name: drawn.choice(shared[name[1]]), text)
        text = _GROUP.sub(lambda group: drawn.choice(group[1].split("|")), text)
        yield " ".join(text.split())
