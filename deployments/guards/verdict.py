"""What a guard reads, what it finds, and what follows. Texts themselves stand in no verdict."""

from dataclasses import dataclass, field
from enum import StrEnum
from typing import Any, Literal

__all__ = ["Action", "Finding", "GuardText", "Place", "Source", "Span", "Verdict"]

Place = Literal["input", "passages", "output"]
Action = Literal["pass", "flag", "mask", "drop", "block"]


class Source(StrEnum):
    """Who says a text of a request."""

    ASKED = "asked"
    """The user, last."""
    SAID = "said"
    """The user before, or a tool."""
    TOLD = "told"
    """The operator or the model: system messages and earlier answers."""


@dataclass(frozen=True, slots=True)
class GuardText:
    """A text to look at."""

    text: str
    source: Source = Source.ASKED
    before: str = ""
    """What was asked before, where the text leans on it: «And how much?» is about something."""
    is_json: bool = False
    """Whether it is JSON as text, such as the arguments of a tool call. Checks read its strings
    without their escapes; masks leave it JSON."""


@dataclass(frozen=True, slots=True)
class Span:
    """`text[start:end]`, and what it is."""

    start: int
    end: int
    kind: str


@dataclass(frozen=True, slots=True)
class Finding:
    """What a check sees in one text."""

    score: float = 0.0
    """0 to 1: how sure it is."""
    categories: tuple[str, ...] = ()
    spans: tuple[Span, ...] = ()
    """Where, in order, without overlaps; empty where it is the whole text."""
    failure: str | None = None
    """Why it may be wrong, where a part that the check asks said nothing of use."""


@dataclass(frozen=True, slots=True)
class Verdict:
    """What one guard decided at one place."""

    guard: str
    place: Place
    action: Action
    """The strictest of what it did with the texts."""
    score: float
    """The highest."""
    categories: tuple[str, ...] = ()
    spans: tuple[tuple[int, Span], ...] = ()
    """With the number of the text that each stands in."""
    texts: tuple[int, ...] = ()
    """Numbers of the texts on which it acted."""
    ms: float = 0.0
    failure: str | None = None
    """Why it came to no end: `over_budget`, `judge_unanswered`, or the name of the error."""
    more: dict[str, Any] = field(default_factory=dict)
    """JSON values for the trace."""

    def described(self) -> dict[str, Any]:
        """JSON for a trace."""
        said: dict[str, Any] = {
            "guard": self.guard,
            "place": self.place,
            "action": self.action,
            "score": round(self.score, 3),
            "categories": list(self.categories),
            "finds": len(self.spans) or len(self.texts),
            "ms": round(self.ms, 3),
            **self.more,
        }
        return said | ({"failure": self.failure} if self.failure else {})

    def summary(self) -> dict[str, Any]:
        """JSON for a client: what was done, and why."""
        return {
            "guard": self.guard,
            "place": self.place,
            "action": self.action,
            "categories": list(self.categories),
        }
