"""Charts as SVG text, for every report: drawn without a display, with nothing outside them."""

import io
from collections.abc import Sequence
from typing import TYPE_CHECKING, Any, Final, NamedTuple

from training.gate.evidence import Interval

if TYPE_CHECKING:
    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

__all__ = [
    "BETTER",
    "LEVEL",
    "WORSE",
    "Mark",
    "bars_chart",
    "forest_chart",
    "histogram_chart",
    "interval_ends",
    "short_name",
]

BETTER: Final = "#1a7f4b"
WORSE: Final = "#b42318"
LEVEL: Final = "#5f6b7a"
_INK: Final = "#1f2933"
_DARK: Final = "#4b6a88"
_PALE: Final = "#c9d3df"
_ROWS: Final = 30
_LONGEST_NAME: Final = 48


class Mark(NamedTuple):
    """One row of a forest."""

    name: str
    value: float
    interval: Interval | None
    colour: str


def forest_chart(
    marks: Sequence[Mark],
    label: str,
    *,
    bounds: Sequence[tuple[float, str]] = (),
    zero: bool = True,
) -> str:
    """Values with their intervals, the first on top: at most thirty. `bounds` are dotted lines."""
    shown = list(marks)[:_ROWS]
    figure, axes = _canvas(7.0, 0.9 + 0.28 * len(shown))
    for place, mark in enumerate(shown):
        low, high = interval_ends(mark.value, mark.interval)
        axes.plot([low, high], [place, place], color=mark.colour, linewidth=2)
        axes.plot([mark.value], [place], "s", color=mark.colour, markersize=5)
    if zero:
        axes.axvline(0, color=_INK, linewidth=1)
    for at, colour in bounds:
        axes.axvline(at, color=colour, linestyle=":", linewidth=1)
    axes.set_yticks(range(len(shown)), [short_name(m.name) for m in shown], parse_math=False)
    axes.set_ylim(len(shown) - 0.5, -0.5)
    axes.set_xlabel(label, parse_math=False)
    return _svg(figure)


def bars_chart(rows: Sequence[tuple[str, float, float]], label: str) -> str:
    """A dark bar over a longer pale one in each row: (name, dark, pale)."""
    figure, axes = _canvas(7.0, 0.8 + 0.4 * len(rows))
    for place, (_, dark, pale) in enumerate(rows):
        axes.barh(place, pale, color=_PALE, height=0.6)
        axes.barh(place, dark, color=_DARK, height=0.6)
    names = [short_name(name) for name, _, _ in rows]
    axes.set_yticks(range(len(rows)), names, parse_math=False)
    axes.invert_yaxis()
    axes.set_xlabel(label, parse_math=False)
    return _svg(figure)


def histogram_chart(
    bins: Sequence[tuple[float, float, int]], label: str, ticks: Sequence[float] | None = None
) -> str:
    """How many values lie in each bin: (low, high, count)."""
    figure, axes = _canvas(7.0, 1.9)
    for low, high, count in bins:
        width = (high - low) or 1.0
        axes.bar((low + high) / 2, count, width=0.94 * width, color=_DARK)
    axes.set_xlabel(label, parse_math=False)
    axes.set_ylabel("items")
    if ticks is not None:
        axes.set_xticks(ticks)
    return _svg(figure)


def _canvas(width: float, height: float) -> "tuple[Figure, Axes]":
    """An empty figure of so many inches, in the reports' look."""
    from matplotlib.figure import Figure

    figure = Figure(figsize=(width, height), layout="constrained")
    axes = figure.add_subplot()
    for side in ("top", "right", "left"):
        axes.spines[side].set_visible(False)
    axes.tick_params(axis="y", length=0)
    return figure, axes


def interval_ends(middle: float, interval: Interval | None) -> tuple[float, float]:
    """Both ends; the middle twice where there is no interval."""
    return (interval.low, interval.high) if interval else (middle, middle)


def short_name(name: str) -> str:
    """One line of at most 48 characters."""
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
