"""The gate's plots: the difference, its slices, and the latency of both sides."""

from collections.abc import Sequence
from typing import Final

from training.gate.charts import (
    BETTER,
    LEVEL,
    WORSE,
    Mark,
    bars_chart,
    forest_chart,
    interval_ends,
    short_name,
)
from training.gate.evidence import Comparison, Latency, Slice

__all__ = ["difference_plot", "latency_plot", "slices_plot"]

_COLOURS: Final = {"regression": WORSE, "fine": BETTER}


def difference_plot(found: Comparison, min_improvement: float) -> str:
    """The mean difference with its interval, beside nothing and what was asked."""
    low, high = interval_ends(found.difference, found.interval)
    colour = BETTER if low > 0 else WORSE if high < 0 else LEVEL
    mark = Mark(found.metric, found.difference, found.interval, colour)
    asked = [(min_improvement, BETTER)] if min_improvement else []
    return forest_chart([mark], f"candidate minus champion, {found.unit}", bounds=asked)


def slices_plot(slices: Sequence[Slice], bound: float) -> str:
    """A forest of the judged slices, the worst on top: at most thirty."""
    marks = [
        Mark(
            f"{short_name(one.name)} ({one.items})",
            one.difference,
            one.interval,
            _COLOURS.get(one.verdict, LEVEL),
        )
        for one in slices
    ]
    return forest_chart(marks, "candidate minus champion", bounds=[(-bound, WORSE)])


def latency_plot(found: Latency, candidate: str, champion: str) -> str:
    """Median and 95th percentile of both sides, in seconds."""
    rows = [
        (name, timings.median_s, timings.p95_s)
        for name, timings in ((candidate, found.candidate), (champion, found.champion))
    ]
    return bars_chart(rows, "seconds: median (dark) and 95th percentile")
