"""Arms of an experiment, and which of them a user is answered by: pure, the same on every replica.

Two independent hashes of the user say whether they are in the experiment's share of the traffic,
and which arm is theirs. So a ramp lets users in without moving anybody between arms, and a stopped
arm gives its users back to the alias without touching those of the others.
"""

import hashlib
from bisect import bisect_right
from collections.abc import Collection, Sequence
from dataclasses import dataclass
from itertools import accumulate
from typing import Any

from pydantic import Field

from cluster.records import Experiment
from cluster.sections.section import Section
from deployments.serving import Retrieval, Serving

__all__ = ["Arm", "Split", "pinned_arm"]


class Arm(Section):
    """One way to answer. What it leaves out is as the alias has it when the experiment starts."""

    name: str = Field(pattern=r"^[a-z0-9][a-z0-9_-]{0,31}$")
    weight: float = Field(default=1.0, gt=0, le=1_000_000, allow_inf_nan=False)
    """Its part of the experiment's traffic, against the other arms' weights."""
    model: str | None = Field(default=None, min_length=1, max_length=256)
    """Id of a served model or of an adapter."""
    prompt: str | None = Field(default=None, min_length=1, max_length=128)
    """A prompt, pinned to `name@digest` when the experiment starts."""
    retrieval: Retrieval = Retrieval()
    shadow: bool = False
    """Its answers are traced and scored, and no user sees them."""

    @property
    def serving(self) -> Serving:
        """What goes with its model."""
        return Serving(prompt=self.prompt, retrieval=self.retrieval)

    def pinned(self, model: str, serving: Serving, prompt: str | None) -> "Arm":
        """Leave nothing out: `model` and `serving` are the alias's, `prompt` its own one's version.

        `prompt` is None where it has none of its own.
        """
        retrieval = {
            **serving.retrieval.model_dump(exclude_none=True),
            **self.retrieval.model_dump(exclude_none=True),
        }
        return self.model_copy(
            update={
                "model": self.model or model,
                "prompt": prompt or serving.prompt,
                "retrieval": Retrieval(**retrieval),
            }
        )


@dataclass(frozen=True, slots=True)
class Split:
    """A running experiment, as a request sees it."""

    id: str
    alias: str
    salt: str
    share: float
    """Of the alias's traffic, from 0 to 1."""
    arms: tuple[Arm, ...]
    """Those that users are answered by, the control first; stopped ones keep their places."""
    shadows: tuple[Arm, ...]
    """Those that run now."""
    stopped: frozenset[str]
    prompts_differ: bool
    """Whether a client's own prompt would take the experiment's meaning away."""
    ends: tuple[float, ...]
    """Where each arm's part of [0, 1) ends."""

    @classmethod
    def of(cls, row: Experiment) -> "Split":
        """Read it from its record."""
        every = tuple(Arm.model_validate(arm) for arm in row.arms)
        return cls.between(
            row.id,
            row.alias,
            row.salt,
            every,
            share=float(row.state["share"]),
            stopped=row.state["stopped"],
        )

    @classmethod
    def between(
        cls,
        experiment_id: str,
        alias: str,
        salt: str,
        every: Sequence[Arm],
        *,
        share: float = 1.0,
        stopped: Collection[str] = (),
    ) -> "Split":
        """Split the traffic between arms, the control first."""
        arms = tuple(arm for arm in every if not arm.shadow)
        shadows = tuple(arm for arm in every if arm.shadow and arm.name not in stopped)
        total = sum(arm.weight for arm in arms)
        return cls(
            id=experiment_id,
            alias=alias,
            salt=salt,
            share=share,
            arms=arms,
            shadows=shadows,
            stopped=frozenset(stopped),
            prompts_differ=len({arm.prompt for arm in every}) > 1,
            ends=tuple(end / total for end in accumulate(arm.weight for arm in arms)),
        )

    def arm_of(self, unit: str) -> Arm | None:
        """Who answers `unit`, a user or a request without one.

        None: not in the experiment, or of an arm that was stopped. The alias answers as ever, and
        the request is not counted.
        """
        if _drawn(self.salt, "share", unit) >= self.share:
            return None
        place = bisect_right(self.ends, _drawn(self.salt, "arm", unit))
        arm = self.arms[min(place, len(self.arms) - 1)]
        return None if arm.name in self.stopped else arm


def pinned_arm(arms: Sequence[dict[str, Any]], name: str) -> Arm | None:
    """The arm of that name in a record's column."""
    return next((Arm.model_validate(arm) for arm in arms if arm["name"] == name), None)


def _drawn(salt: str, purpose: str, unit: str) -> float:
    """A number from [0, 1) that is the same for the same unit."""
    digest = hashlib.sha256(f"{salt}:{purpose}:{unit}".encode()).digest()
    return int.from_bytes(digest[:8], "big") / 2**64
