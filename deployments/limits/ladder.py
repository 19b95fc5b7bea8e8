"""What is given up before requests are refused, by how pressed a model is."""

from dataclasses import dataclass
from enum import IntEnum
from typing import Final

from cluster.sections.limits import LimitsSettings

__all__ = ["Ladder", "Step", "Steps", "decide"]


class Step(IntEnum):
    """Each includes those before it."""

    WHOLE = 0
    """Nothing is given up."""
    FEWER_PASSAGES = 1
    """Fewer passages in the prompt, and no reranking."""
    CACHED_ANSWER = 2
    """An earlier answer to the same question, where there is one."""
    SMALLER_MODEL = 3
    """The model that the settings name for this one, where they do."""


@dataclass(frozen=True, slots=True)
class Steps:
    """Pressures at which the steps begin, and the share of them below which a step is left."""

    begin: tuple[float, float, float]
    relaxed_by: float

    @classmethod
    def of(cls, settings: LimitsSettings) -> "Steps":
        """As the settings say."""
        begin = (settings.fewer_passages_at, settings.cached_answer_at, settings.smaller_model_at)
        return cls(begin, settings.relaxed_by)


def decide(pressure: float, now: Step, steps: Steps) -> Step:
    """The step for a pressure (0: nobody waits, 1: refused) when it was `now` until then.

    A step begins at its pressure and is left only well below it, so that a pressure that wavers
    does not change answers back and forth.
    """
    reached = sum(pressure >= begin for begin in steps.begin)
    kept = sum(pressure >= begin * steps.relaxed_by for begin in steps.begin)
    return Step(max(reached, min(kept, now)))


class Ladder:
    """Where each project stands. Bounded: the least recently asked is forgotten."""

    _KEPT: Final = 1024

    def __init__(self, steps: Steps) -> None:
        self._steps: Final = steps
        self._now: dict[str, Step] = {}

    def step(self, project_id: str, pressure: float) -> Step:
        """The step for a project's next request."""
        step = decide(pressure, self._now.pop(project_id, Step.WHOLE), self._steps)
        if step is not Step.WHOLE:
            self._now[project_id] = step
            if len(self._now) > self._KEPT:
                del self._now[next(iter(self._now))]
        return step
