"""What a person sets for a comparison of two runs."""

from pydantic import Field

from cluster.sections.section import Section

__all__ = ["ComparisonSettings"]


class ComparisonSettings(Section):
    """How two runs are compared, and what counts as a difference."""

    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """Probability of error of all metrics together, and of all slices together."""
    min_difference: float = Field(default=0.0, ge=0)
    """Least mean difference that counts, in each metric's own unit."""
    graders: tuple[str, ...] = ()
    """Which graders are compared; empty is all that both runs have."""
    pair_by: str = Field(default="item", pattern=r"^(item|number|item\..+)$")
    """What makes two items a pair: the whole `item`, its `number`, or one field, `item.NAME`."""
    slice_by: str | None = Field(default=None, min_length=1)
    """Field of the items by whose values slices are made, such as `topic` or `metadata.topic`."""
    min_slice_items: int = Field(default=20, ge=2)
    """A slice with fewer pairs is shown, not judged."""
    max_slices: int = Field(default=200, ge=1)
    """Largest number of slices of a metric that are shown: the largest ones."""
    max_missing: float = Field(default=0.05, ge=0, lt=1)
    """Share of pairs with a score from one side only above which a metric is not judged: what one
    side failed at is seldom a fair sample."""
    resamples: int = Field(default=9999, ge=100, le=100_000)
    """Bootstrap samples behind an interval."""
    seed: int = Field(default=0, ge=0)
    """Draws the bootstrap samples."""
    items_kept: int = Field(default=20, ge=0, le=1000)
    """Items that the report shows with both answers, those that differ most first."""
