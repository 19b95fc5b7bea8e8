"""What a person sets for a run's report."""

from pydantic import Field

from cluster.sections.section import Section

__all__ = ["ReportSettings"]


class ReportSettings(Section):
    """How a run is reported."""

    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """The intervals hold the true value with probability 1 - alpha."""
    slice_by: str | None = Field(default=None, min_length=1)
    """Field of the items by whose values slices are made, such as `topic` or `metadata.topic`."""
    min_slice_items: int = Field(default=20, ge=2)
    """A slice with fewer scores is shown without an interval."""
    max_slices: int = Field(default=200, ge=1)
    """Largest number of slices of a grader that are shown: the largest ones."""
    bins: int = Field(default=10, ge=2, le=100)
    """Bars of a histogram."""
    worst_kept: int = Field(default=20, ge=0, le=1000)
    """Items shown with the lowest scores."""
    slowest_kept: int = Field(default=10, ge=0, le=1000)
    """Items shown with the longest answers in time."""
    prompt_price: float | None = Field(default=None, ge=0)
    """Price of a million tokens of a prompt, in the currency of your choice; null: no cost."""
    completion_price: float | None = Field(default=None, ge=0)
    """Price of a million tokens of an answer; null: no cost."""
    resamples: int = Field(default=9999, ge=100, le=100_000)
    """Bootstrap samples behind an interval."""
    seed: int = Field(default=0, ge=0)
    """Draws the bootstrap samples."""
