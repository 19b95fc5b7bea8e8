"""What a run tells while it goes on: one frozen record per kind of news."""

from dataclasses import dataclass
from pathlib import Path
from typing import Literal

__all__ = ["Ending", "News", "Outcome", "StepDone", "Validated"]


@dataclass(frozen=True, slots=True)
class StepDone:
    """A step of the optimizer, over all workers."""

    step: int
    """From 1."""
    steps: int
    """Of the whole run, if nothing stops it."""
    epoch: float
    """Epochs done, with their fraction."""
    loss: float
    """Mean over the step's weighted tokens (DPO: its pairs)."""
    accuracy: float
    """Share of trained tokens that the model would have chosen (DPO: of pairs in order)."""
    learning_rate: float
    gradient_norm: float
    """Before clipping."""
    tokens: int
    """Real tokens of the step; there is no padding."""
    trained_tokens: int
    """Tokens (DPO: pairs) that carried loss."""
    seconds: float
    """What the step took on the first worker."""
    workers: int


@dataclass(frozen=True, slots=True)
class Validated:
    """The validation set, after a step."""

    step: int
    loss: float
    accuracy: float
    best: bool
    """Whether no earlier validation had a lower loss."""
    seconds: float


News = StepDone | Validated

Ending = Literal["finished", "early_stopping", "stopped"]
"""All epochs done; validation did not improve for long; somebody asked to stop."""


@dataclass(frozen=True, slots=True)
class Outcome:
    """How a run ended, and where its last checkpoint lies on this machine."""

    ending: Ending
    checkpoint: Path
