"""The report's plots as SVG text: drawn without a display, with nothing outside them."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final

from training.gate.evidence import Comparison, Interval, Latency, Slice

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = ["difference_plot", "latency_plot", "slices_plot"]

_INK: Final = "#1f2933"
_BETTER: Final = "#1a7f4b"
_WORSE: Final = "#b42318"
_LEVEL: Final = "#5f6b7a"
_SLICES: Final = 30
_LONGEST_NAME: Final = 40


def difference_plot(found: Comparison, min_improvement: float) -> str:
    """The mean difference with its interval, beside nothing and what was asked."""
    figure, axes = _figure(7.0, 1.5)
    low, high = _ends(found.difference, found.interval)
    colour = _BETTER if low > 0 else _WORSE if high < 0 else _LEVEL
    axes.plot([low, high], [0, 0], color=colour, linewidth=4, solid_capstyle="butt")
    axes.plot([found.difference], [0], "o", color=colour, markersize=9)
    _zero(axes)
    if min_improvement:
        axes.axvline(min_improvement, color=_BETTER, linestyle=":", linewidth=1)
    axes.set_yticks([])
    axes.set_ylim(-1, 1)
    axes.set_xlabel(f"candidate minus champion, {found.unit}")
    return _svg(figure)


def slices_plot(slices: Sequence[Slice], bound: float) -> str:
    """A forest of the judged slices, the worst on top: at most thirty."""
    shown = list(slices)[:_SLICES]
    figure, axes = _figure(7.0, 0.9 + 0.28 * len(shown))
    for place, one in enumerate(shown):
        low, high = _ends(one.difference, one.interval)
        colour = {"regression": _WORSE, "fine": _BETTER}.get(one.verdict, _LEVEL)
        axes.plot([low, high], [place, place], color=colour, linewidth=2)
        axes.plot([one.difference], [place], "s", color=colour, markersize=5)
    _zero(axes)
    axes.axvline(-bound, color=_WORSE, linestyle=":", linewidth=1)
    names = [f"{_short(one.name)} ({one.items})" for one in shown]
    axes.set_yticks(range(len(shown)), names, parse_math=False)
    axes.invert_yaxis()
    axes.set_xlabel("candidate minus champion")
    return _svg(figure)


def latency_plot(found: Latency, candidate: str, champion: str) -> str:
    """Median and 95th percentile of both sides, in seconds."""
    figure, axes = _figure(7.0, 1.6)
    for place, timings in enumerate((found.candidate, found.champion)):
        axes.barh(place, timings.p95_s, color="#c9d3df", height=0.6)
        axes.barh(place, timings.median_s, color="#4b6a88", height=0.6)
    axes.set_yticks([0, 1], [_short(candidate), _short(champion)], parse_math=False)
    axes.invert_yaxis()
    axes.set_xlabel("seconds: median (dark) and 95th percentile")
    return _svg(figure)


def _figure(width: float, height: float) -> "tuple[Figure, Axes]":
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure, axes


def _zero(axes: "Axes") -> None:
    axes.axvline(0, color=_INK, linewidth=1)


def _ends(middle: float, interval: Interval | None) -> tuple[float, float]:
    return (interval.low, interval.high) if interval else (middle, middle)


def _short(name: str) -> str:
    line = " ".join(name.split())
    return line if len(line) <= _LONGEST_NAME else f"{line[: _LONGEST_NAME - 1]}…"


def _svg(figure: "Figure") -> str:
    """The element alone, the same for the same figure; text stays text."""
    import matplotlib

    written = io.StringIO()
    style: dict[str, Any] = {"svg.fonttype": "none", "svg.hashsalt": "everloop", "font.size": 9}
    with matplotlib.rc_context(style):
        figure.savefig(written, format="svg", transparent=True, metadata={"Date": None})
    text = written.getvalue()
    return text[text.index("<svg") :]
