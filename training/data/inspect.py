"""What `everloop data inspect` shows of a dataset: counts, and how long its rows are."""

import math
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass
from typing import Final

from training.data.summary import DatasetSummary, Tally
from training.examples import Example

__all__ = ["Bin", "Inspection", "Lengths", "histogram", "inspect_examples", "measure", "quantile"]

QUANTILES: Final = (0.05, 0.25, 0.5, 0.75, 0.95, 0.99)
_BINS: Final = 16
_OPEN_FROM: Final = 0.99


@dataclass(frozen=True, slots=True)
class Bin:
    """How many rows have `first` to `last` tokens, both included; no `last` is no upper bound."""

    first: int
    last: int | None
    rows: int


@dataclass(frozen=True, slots=True)
class Lengths:
    """Tokens of the rows of a dataset."""

    rows: int
    total: int
    shortest: int
    longest: int
    mean: float
    quantiles: dict[float, int]
    """A length that this share of the rows does not exceed."""
    bins: tuple[Bin, ...]
    """Equally wide; the last takes the longest hundredth where that lies far out."""


@dataclass(frozen=True, slots=True)
class Inspection:
    """A dataset, looked at."""

    summary: DatasetSummary
    lengths: Lengths | None
    """None where there is no row."""


def inspect_examples(examples: Iterable[Example], count: Callable[[Example], int]) -> Inspection:
    """Count and measure; `count` gives the tokens of an example."""
    tally, lengths = Tally(), list[int]()
    for example in examples:
        tally.add(example)
        lengths.append(count(example))
    return Inspection(tally.summary, measure(lengths) if lengths else None)


def measure(lengths: Sequence[int]) -> Lengths:
    """Figures of at least one length."""
    ranked = sorted(lengths)
    return Lengths(
        rows=len(ranked),
        total=sum(ranked),
        shortest=ranked[0],
        longest=ranked[-1],
        mean=sum(ranked) / len(ranked),
        quantiles={share: quantile(ranked, share) for share in QUANTILES},
        bins=histogram(ranked),
    )


def quantile(ranked: Sequence[int], share: float) -> int:
    """The smallest of the sorted values that at least `share` of them do not exceed."""
    return ranked[max(0, math.ceil(round(share * len(ranked), 6)) - 1)]


def histogram(ranked: Sequence[int], bins: int = _BINS) -> tuple[Bin, ...]:
    """At most `bins` bins over the sorted lengths, whose width is 1, 2 or 5 times a power of ten.

    They reach to the longest; or, where that is over twice the 0.99 quantile, to the quantile, and
    the last is open.
    """
    high, longest = quantile(ranked, _OPEN_FROM), ranked[-1]
    far_out = longest > 2 * high
    top = high if far_out else longest
    width = _width(ranked[0], top, bins - far_out)
    start = ranked[0] // width * width
    counts: dict[int, int] = {}
    for length in ranked:
        place = min((length - start) // width, (top - start) // width + far_out)
        counts[place] = counts.get(place, 0) + 1
    last = (top - start) // width
    found = [
        Bin(start + i * width, start + (i + 1) * width - 1, counts.get(i, 0))
        for i in range(last + 1)
    ]
    if far_out and last + 1 in counts:
        found.append(Bin(start + (last + 1) * width, None, counts[last + 1]))
    return tuple(found)


def _width(low: int, high: int, bins: int) -> int:
    """The smallest round width with which `bins` bins reach from `low` to `high`."""
    power = 1
    while True:
        for factor in (1, 2, 5):
            width = factor * power
            if high // width - low // width < bins:
                return width
        power *= 10
