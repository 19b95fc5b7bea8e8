"""What a gateway and its process that reads Parquet say to one another."""

from pydantic import BaseModel, ConfigDict, Field

from training.data.columns import Columns
from training.data.problems import Problem
from training.data.reading import PROBLEMS_KEPT
from training.data.summary import DatasetSummary

__all__ = ["Asked", "Reading"]


class Asked(BaseModel):
    """What is to be read, and how."""

    name: str
    columns: Columns | None
    required: bool
    """Whether it is read only where the process is shut off from network and files."""


class Reading(BaseModel):
    """What was read. The process may be the file's by then: it is checked, and not trusted."""

    model_config = ConfigDict(extra="forbid")

    problems: tuple[Problem, ...] = Field(default=(), max_length=PROBLEMS_KEPT)
    more_problems: int = Field(default=0, ge=0)
    summary: DatasetSummary = DatasetSummary(0, {}, 0, 0)
    missing: str | None = None
    """Which layers of the sandbox this machine lacks; nothing was read for it."""
