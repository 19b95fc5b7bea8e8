"""One drill: something is broken, users go on, and what was acknowledged is looked up after."""

import contextlib
import time
from collections.abc import Callable, Iterator
from dataclasses import dataclass, field
from random import Random
from typing import Final, Protocol

import openai

from tests.drills.promises import broken_promises
from tests.drills.scene import Scene
from tests.drills.traffic import Traffic, User
from tests.fixtures.faults import until

__all__ = ["Drill", "Hit", "Outcome", "run_drill"]

USERS: Final = 2
MOMENT_S: Final = (0.3, 3.0)
"""So long the users are at work before something breaks: the seed says when."""
AFTER_S: Final = 1.0
SETTLE_S: Final = 150.0
"""What was acknowledged has come to its end so long after the system answers again."""
READY_S: Final = 300.0


def nothing() -> None:
    """There is nothing to mend."""


@dataclass(frozen=True, slots=True)
class Hit:
    """What was done to the system, and how one sees that it is over."""

    what: str
    """What the seed chose."""
    recovered: Callable[[], bool]
    """Whether all works again that this had to do with; it may raise openai.APIError."""
    mend: Callable[[], None] = nothing
    """End the fault. May be called twice."""
    holds_s: float = 0.0
    """A fault that ends by itself, that is by `mend`, after so long; recovery counts from then."""


class Drill(Protocol):
    """A way to break the system."""

    @property
    def name(self) -> str:
        """What the table calls it."""
        ...

    @property
    def bound_s(self) -> float:
        """It must have recovered by then."""
        ...

    @property
    def every(self) -> int:
        """In every how many rounds it takes part; the long ones are rarer."""
        ...

    def missing(self, scene: Scene) -> str:
        """Why it cannot be run here; empty where it can."""
        ...

    def strike(self, scene: Scene, random: Random) -> Hit:
        """Break something."""
        ...


@dataclass(frozen=True, slots=True)
class Outcome:
    """One run of a drill."""

    drill: str
    seed: str
    what: str
    sent: int
    failed: int
    reasons: dict[str, int]
    acknowledged: int
    """Promises that were made while it ran."""
    lost: list[str]
    recovery_s: float | None
    """None: it had not recovered in its bound."""
    problem: str = ""

    @property
    def good(self) -> bool:
        """Whether nothing was lost and all works again."""
        return not self.lost and not self.problem and self.recovery_s is not None


@dataclass
class _Clock:
    """Seconds of one part of a drill."""

    began: float = field(default_factory=time.monotonic)

    @property
    def took(self) -> float:
        return time.monotonic() - self.began


def run_drill(drill: Drill, scene: Scene, seed: str) -> Outcome:
    """Run it once. The system must be ready within a bound before, and is looked at after."""
    random, ledger = Random(seed), scene.ledger
    until(scene.ready, READY_S)
    mark = ledger.mark
    store = scene.client.with_options(max_retries=4).vector_stores.create(name=drill.name).id
    users = [User(scene.client, ledger, Random(f"{seed}:user{n}"), store) for n in range(USERS)]
    with Traffic(users) as traffic:
        time.sleep(random.uniform(*MOMENT_S))
        what, recovery_s, problem = _broken(drill, scene, random)
        time.sleep(AFTER_S)
    if traffic.stuck:
        problem = problem or f"{traffic.stuck} requests never ended"
    made = ledger.since(mark)
    lost = broken_promises(scene.patient, made, SETTLE_S)
    return Outcome(
        drill.name,
        seed,
        what,
        traffic.sent.total(),
        traffic.failed.total(),
        dict(traffic.reasons),
        len(made),
        lost,
        recovery_s,
        problem,
    )


def _broken(drill: Drill, scene: Scene, random: Random) -> tuple[str, float | None, str]:
    """Strike, let it hold, mend; what was done, and the seconds until all works again."""
    clock = _Clock()
    try:
        hit = drill.strike(scene, random)
    except (AssertionError, OSError, openai.APIError) as error:
        return "", None, f"the fault could not be made: {error}"
    with _mended(hit):
        if hit.holds_s:
            time.sleep(hit.holds_s)
            hit.mend()
            clock = _Clock()
        try:
            until(hit.recovered, drill.bound_s)
        except AssertionError as error:
            return hit.what, None, str(error)
    return hit.what, clock.took, ""


@contextlib.contextmanager
def _mended(hit: Hit) -> Iterator[None]:
    try:
        yield
    finally:
        hit.mend()
