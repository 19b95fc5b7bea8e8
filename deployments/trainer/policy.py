"""What to do about the work that is open, as a pure function of what is known."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Literal

__all__ = ["Limits", "OpenWork", "Serving", "Step", "decide"]


@dataclass(frozen=True, slots=True)
class OpenWork:
    """A job or gate run that waits or runs."""

    id: str
    kind: Literal["job", "gate"]
    running: bool
    crashes: int = 0
    ready: bool = True
    """A waiting one: whether its time has come."""
    lost: bool = False
    """A running one: its process has ended, or has not been heard of for its lease."""
    wish: str | None = None
    wish_age_s: float = 0.0


@dataclass(frozen=True, slots=True)
class Serving:
    """How hard the models work, in seconds."""

    pressed_s: float | None = None
    """Since when the requests have been more than the bound; None while they are not."""
    calm_s: float | None = float("inf")
    """Since when they have been few; None while they are not."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the policy keeps to."""

    max_running: int = 1
    max_crashes: int = 3
    yield_after_s: float = 3.0
    resume_after_s: float = 30.0
    stop_after_s: float = 30.0
    """A process that has not heard a wish to stop by then is stopped."""


@dataclass(frozen=True, slots=True)
class Step:
    """One thing to do."""

    action: Literal["start", "restart", "give_up", "ask_to_yield", "stop"]
    id: str


def decide(work: Sequence[OpenWork], serving: Serving, limits: Limits) -> list[Step]:
    """The steps to take now, in order.

    Serving goes first: jobs are asked to yield while it is pressed and none starts before it has
    been calm for a while. Gate runs come before jobs and do not yield, for they ask the models
    themselves.
    """
    steps: list[Step] = []
    running = 0
    pressed = serving.pressed_s is not None and serving.pressed_s >= limits.yield_after_s
    for item in work:
        if not item.running:
            continue
        if item.lost and item.wish == "cancel":
            steps.append(Step("stop", item.id))
            continue
        if item.lost:
            if item.crashes >= limits.max_crashes:
                steps.append(Step("give_up", item.id))
            else:
                steps.append(Step("restart", item.id))
                running += 1  # it keeps its place
            continue
        running += 1
        if item.wish == "cancel" and item.wish_age_s >= limits.stop_after_s:
            steps.append(Step("stop", item.id))
        elif item.kind == "job" and item.wish is None and pressed:
            steps.append(Step("ask_to_yield", item.id))
    waiting = [item for item in work if not item.running and item.ready]
    calm = serving.calm_s is not None and serving.calm_s >= limits.resume_after_s
    for item in sorted(waiting, key=lambda item: item.kind != "gate"):
        if running >= limits.max_running:
            break
        if item.kind == "job" and not calm:
            continue
        steps.append(Step("start", item.id))
        running += 1
    return steps
