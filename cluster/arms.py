"""How an arm of an experiment is named as a model: `arm:EXPERIMENT:ARM`."""

from typing import Final

__all__ = ["ARM_PREFIX", "arm_reference", "read_arm_reference"]

ARM_PREFIX: Final = "arm:"


def arm_reference(experiment_id: str, arm: str) -> str:
    """The model name that asks one arm directly."""
    return f"{ARM_PREFIX}{experiment_id}:{arm}"


def read_arm_reference(name: str) -> tuple[str, str] | None:
    """Experiment and arm of such a model name; None for another one."""
    if not name.startswith(ARM_PREFIX):
        return None
    experiment_id, _, arm = name.removeprefix(ARM_PREFIX).partition(":")
    return experiment_id, arm
