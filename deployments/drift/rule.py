"""When drift is told of: out of bounds in look after look, and at a level that a month bears.

Looks are at windows that do not overlap, so on stable traffic a signal is out of bounds twice in a
row by chance only. But they meet the same reference, whose own sampling error they share; `level`
counts that in.
"""

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from functools import cache
from statistics import NormalDist
from typing import TYPE_CHECKING, Any, Final, Literal

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Decision", "Persistence", "Rule", "decide", "level"]

_POINTS: Final = 40
_HALVINGS: Final = 60
_MOST: Final = 0.05


@dataclass(frozen=True, slots=True)
class Rule:
    """How long a signal must be out of bounds, and when the alert is over."""

    levels: Mapping[str, float]
    """By signal: a p-value up to it is out of bounds."""
    looks: int = 2
    """So many looks in a row raise the alert."""
    calm_level: float = 0.05
    """A p-value above it is calm. Between both the signal is neither: what is open stays open."""
    calm_looks: int = 2
    """So many calm looks in a row of all that were out of bounds resolve the alert."""


@dataclass(frozen=True, slots=True)
class Persistence:
    """How long each signal has been out of bounds or calm, in looks."""

    out: Mapping[str, int] = field(default_factory=dict)
    calm: Mapping[str, int] = field(default_factory=dict)
    alarmed: tuple[str, ...] = ()
    """Signals for which an alert is open."""

    def body(self) -> dict[str, Any]:
        """As JSON."""
        return {"out": dict(self.out), "calm": dict(self.calm), "alarmed": list(self.alarmed)}

    @classmethod
    def of(cls, body: Mapping[str, Any]) -> "Persistence":
        """From JSON; nothing yet where it is empty."""
        return cls(
            dict(body.get("out", {})), dict(body.get("calm", {})), tuple(body.get("alarmed", ()))
        )


@dataclass(frozen=True, slots=True)
class Decision:
    """What follows from a look."""

    action: Literal["none", "raise", "resolve"]
    out: tuple[str, ...]
    """Signals out of bounds in this look."""
    persisted: tuple[str, ...]
    """Of them, those for long enough."""
    state: Persistence


def decide(state: Persistence, p_values: Mapping[str, float], rule: Rule) -> Decision:
    """Judge one look. A signal without a p-value (too few requests had it) stays as it was."""
    out, calm = dict(state.out), dict(state.calm)
    for name, p_value in p_values.items():
        out[name] = out.get(name, 0) + 1 if p_value <= rule.levels[name] else 0
        calm[name] = calm.get(name, 0) + 1 if p_value > rule.calm_level else 0
    persisted = tuple(n for n in p_values if out[n] >= rule.looks)
    alarmed = tuple(dict.fromkeys((*state.alarmed, *persisted)))
    action: Literal["none", "raise", "resolve"] = "none"
    if persisted:
        action = "raise"
    elif alarmed and all(calm.get(name, 0) >= rule.calm_looks for name in alarmed):
        action, alarmed = "resolve", ()
    return Decision(
        action=action,
        out=tuple(name for name in p_values if out[name]),
        persisted=persisted,
        state=Persistence(out, calm, alarmed),
    )


def level(
    false_alarms: float, *, looks_a_month: float, signals: int, looks: int, shared: float
) -> float:
    """The level per look and signal at which a stable month has at most `false_alarms` alerts.

    By the union bound over the month's looks and all signals. `shared` is the correlation of two
    looks through their reference: window / (window + reference) requests. Given the reference's
    share of a normal statistic the looks are independent, which leaves one integral.
    """
    bearable = false_alarms / (max(1.0, looks_a_month) * max(1, signals))
    low, high = NormalDist().inv_cdf(1 - _MOST), 12.0
    if _all_beyond(low, looks, shared) <= bearable:
        return _MOST
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        if _all_beyond(middle, looks, shared) > bearable:
            low = middle
        else:
            high = middle
    return 1 - NormalDist().cdf(high)


def _all_beyond(bound: float, looks: int, shared: float) -> float:
    """P(all of `looks` standard normals with correlation `shared` are beyond `bound`)."""
    from scipy.special import ndtr

    places, weights = _hermite()
    each = ndtr((math.sqrt(shared) * places - bound) / math.sqrt(1 - shared))
    return float((weights @ each**looks) / math.sqrt(2 * math.pi))


@cache
def _hermite() -> "tuple[NDArray[Any], NDArray[Any]]":
    import numpy as np

    return np.polynomial.hermite_e.hermegauss(_POINTS)
