"""How many items a replica takes on, as a pure function of what it has in hand."""

from collections.abc import Sequence
from dataclasses import dataclass

__all__ = ["Claim", "Limits", "OpenWork", "decide"]


@dataclass(frozen=True, slots=True)
class OpenWork:
    """A run that is not at its end."""

    run_id: str
    asks: bool
    """Whether a model is asked for its answers; else they are given."""
    in_flight: int = 0
    """Items that this replica holds."""
    drained: bool = False
    """The last claim found no item that is free."""


@dataclass(frozen=True, slots=True)
class Limits:
    """What the policy keeps to."""

    concurrency: int = 8
    """Items in flight of runs that ask a model, all of them together."""
    batch: int = 64
    """Items that are graded at a time where the answers are given."""


@dataclass(frozen=True, slots=True)
class Claim:
    """Take so many items of a run."""

    run_id: str
    items: int


def decide(work: Sequence[OpenWork], limits: Limits) -> list[Claim]:
    """What to claim now. Runs share alike: the one with the fewest items in flight comes first.

    Runs that ask a model are taken in halves of the concurrency, so that one half is answered
    while the other is graded. Runs with given answers are graded one batch at a time.
    """
    given = [
        Claim(run.run_id, limits.batch)
        for run in work
        if not run.asks and not run.drained and run.in_flight == 0
    ]
    step = max(1, limits.concurrency // 2)
    free = limits.concurrency - sum(run.in_flight for run in work if run.asks)
    held = {run.run_id: run.in_flight for run in work if run.asks and not run.drained}
    wanted: dict[str, int] = {}
    while held and free >= step:
        run_id = min(held, key=lambda one: held[one])
        held[run_id] += step
        wanted[run_id] = wanted.get(run_id, 0) + 1
        free -= step
    asked = [Claim(run_id, step) for run_id, times in wanted.items() for _ in range(times)]
    return [*given, *asked]
