"""Settings of how much a project and a key may use, and of what happens under load."""

from typing import Self

from pydantic import Field, model_validator

from cluster.sections.section import Section

__all__ = ["Bounds", "LimitsSettings"]

_MOST = 2**53
"""What every JSON reader can hold."""


class Bounds(Section):
    """How much one key, or one project with all of its keys, may use. Null is without a limit."""

    requests_per_minute: int | None = Field(default=None, ge=1, le=_MOST)
    """Requests under `/v1/`."""
    tokens_per_minute: int | None = Field(default=None, ge=1, le=_MOST)
    """Tokens of prompts and answers together."""
    concurrent_requests: int | None = Field(default=None, ge=1, le=_MOST)
    """Requests under way at once."""
    tokens_per_month: int | None = Field(default=None, ge=1, le=_MOST)
    """Tokens of a calendar month, in UTC."""
    cost_per_month: float | None = Field(default=None, gt=0, le=_MOST, allow_inf_nan=False)
    """Cost of a calendar month, in the currency of `tracing.prices`."""
    stored_bytes: int | None = Field(default=None, ge=0, le=_MOST)
    """Bytes of the project's files together. A key's: what they may come to by its uploads."""
    weight: int = Field(default=1, ge=1, le=100)
    """A project's share beside that of other projects while models are busy."""

    @property
    def has_budget(self) -> bool:
        """Whether anything of a month is bounded."""
        return self.tokens_per_month is not None or self.cost_per_month is not None


class LimitsSettings(Section):
    """How much may be used by default, and how a gateway replica takes more work than it can do.

    A key and its project are both held to their bounds.
    """

    key: Bounds = Bounds()
    """Of keys that say nothing else."""
    project: Bounds = Bounds()
    """Of projects that say nothing else."""
    refresh_s: float = Field(default=5.0, gt=0)
    """So long changed bounds, and usage that other gateway replicas counted, go unnoticed."""
    flush_interval_s: float = Field(default=2.0, gt=0)
    """Usage is written this often; a crash loses at most what was used meanwhile."""
    max_waiting: int = Field(default=128, ge=0)
    """Requests that may wait for a model in a gateway replica."""
    max_waiting_per_project: int = Field(default=64, ge=0)
    """Those of one project."""
    degrade: bool = True
    """Whether answers may become simpler before requests are refused."""
    fewer_passages_at: float = Field(default=0.25, gt=0, lt=1)
    """Pressure from which grounded answers get fewer passages, without reranking. 0: nobody waits;
    1: a request is refused."""
    cached_answer_at: float = Field(default=0.5, gt=0, lt=1)
    """Pressure from which an earlier answer to the same question may be given again."""
    smaller_model_at: float = Field(default=0.75, gt=0, lt=1)
    """Pressure from which the model in `fallback_model` answers."""
    relaxed_by: float = Field(default=0.5, gt=0, le=1)
    """A step is left once pressure is below this share of where it begins."""
    fewer_passages: int = Field(default=2, ge=1, le=50)
    """Passages in the prompt then."""
    fallback_model: dict[str, str] = Field(default_factory=dict)
    """The smaller model that answers for a model, both by id."""
    cached_answers: int = Field(default=1024, ge=0)
    """Answers that a gateway replica keeps; 0 keeps none."""
    cached_answer_s: float = Field(default=600.0, gt=0)
    """So long each is kept. One whose documents change counts no more at once."""

    @model_validator(mode="after")
    def _steps_in_order(self) -> Self:
        steps = (self.fewer_passages_at, self.cached_answer_at, self.smaller_model_at)
        if list(steps) != sorted(steps):
            raise ValueError(
                f"fewer_passages_at, cached_answer_at and smaller_model_at are {steps}; each must "
                "be at least the one before"
            )
        if self.max_waiting_per_project > self.max_waiting:
            raise ValueError(
                f"max_waiting_per_project {self.max_waiting_per_project} is above max_waiting "
                f"{self.max_waiting}"
            )
        return self
