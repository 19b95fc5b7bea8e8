"""What the experiments' routes read."""

from typing import Annotated, Final

from pydantic import AfterValidator, ConfigDict, Field

from deployments.experiments.arms import Arm
from deployments.experiments.plan import Plan
from deployments.gateway.bodies import Body, Metadata, Text

__all__ = [
    "ExperimentCreate",
    "ExperimentPromote",
    "ExperimentRamp",
    "ExperimentStop",
    "ExperimentUpdate",
]

Reason = Annotated[Text, Field(min_length=1, max_length=1000)]
Name = Annotated[Text, Field(max_length=256)]
_MOST_ARMS: Final = 8
_LEAST_PART: Final = 0.001


def _checked_arms(arms: list[Arm]) -> list[Arm]:
    """The arms. ValueError for what cannot be compared."""
    names = [arm.name for arm in arms]
    if len(set(names)) < len(names):
        raise ValueError("Each arm needs a name of its own")
    control = arms[0]
    if control.shadow:
        raise ValueError("The first arm is the control; it cannot be a shadow")
    if control.model or control.prompt or control.serving.to_json():
        raise ValueError(
            "The first arm is the control: what the alias has. Leave out model, prompt, retrieval"
        )
    for arm in arms[1:]:
        if arm.model is None and arm.serving.to_json() is None:
            raise ValueError(f"The arm {arm.name} is no different from the control")
        part = arm.weight / (arm.weight + control.weight)
        if not arm.shadow and not _LEAST_PART <= part <= 1 - _LEAST_PART:
            raise ValueError(
                f"The weights of {arm.name} and of the control are further apart than 1 to 999"
            )
    return arms


Arms = Annotated[
    list[Arm], Field(min_length=2, max_length=_MOST_ARMS), AfterValidator(_checked_arms)
]


class ExperimentCreate(Body):
    """Split an alias's traffic between arms."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [
                {
                    "name": "a stricter prompt",
                    "alias": "assistant",
                    "arms": [
                        {"name": "control"},
                        {"name": "strict", "prompt": "grounded_answer@strict"},
                    ],
                    "settings": {"metric": {"name": "score:groundedness"}},
                    "start": True,
                }
            ]
        }
    )
    name: Name = ""
    alias: Annotated[Text, Field(pattern=r"^[a-z0-9][a-z0-9._-]{0,63}$")]
    arms: Arms
    """The control first: it is what the alias has, and names only itself and its weight."""
    settings: Plan
    """Metric, guardrails, errors allowed, ramp, promotion."""
    metadata: Metadata | None = None
    start: bool = False
    """Start it at once."""


class ExperimentUpdate(Body):
    """Change a draft; what is absent stays. `name` and `metadata` change at any time."""

    name: Name | None = None
    arms: Arms | None = None
    settings: Plan | None = None
    metadata: Metadata | None = None


class ExperimentStop(Body):
    """End an experiment, or take one arm out."""

    reason: Reason


class ExperimentRamp(Body):
    """Let another share of the traffic in; the steps that were planned end with it."""

    share: float = Field(gt=0, le=1)


class ExperimentPromote(Body):
    """Move the alias to an arm, by a person's word."""

    arm: Annotated[Text, Field(max_length=64)] | None = None
    """By default the winner; another one needs a `reason`."""
    reason: Reason | None = None
