"""A run's report as one page to read: what was trained, on what, and how the loss fell.

The page is one file: its plots are inline SVG, and it asks no other machine for anything.
"""

from collections.abc import Sequence
from datetime import UTC, datetime
from io import StringIO
from pathlib import Path
from statistics import fmean
from typing import TYPE_CHECKING, Any, Final

from training.progress import StepDone, Validated
from training.recording import read_metrics

if TYPE_CHECKING:
    from matplotlib.axes import Axes

__all__ = ["render_page", "write_page"]

_TEMPLATE: Final = "report_page.jinja"
_ENDINGS: Final = {
    "finished": "all epochs done",
    "early_stopping": "stopped early: the validation loss did not improve any more",
    "stopped": "stopped by hand; the same command goes on from the checkpoint",
}
_SMOOTHED_FROM: Final = 30
_RC: Final = {
    "svg.fonttype": "none",  # letters stay letters, which the browser draws
    "svg.hashsalt": "everloop",  # equal runs give equal pages
    "font.size": 9.0,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.grid": True,
    "grid.alpha": 0.25,
}


def write_page(folder: Path, report: dict[str, Any]) -> Path:
    """Write `report.html` into a run's folder, from its report and its metrics."""
    steps, validations = read_metrics(folder / "metrics.jsonl")
    path = folder / "report.html"
    path.write_text(render_page(report, steps, validations), encoding="utf-8")
    return path


def render_page(
    report: dict[str, Any], steps: Sequence[StepDone], validations: Sequence[Validated]
) -> str:
    """The page. `report` is `RunReport.document`; steps and validations are in order."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined
    from markupsafe import Markup

    # A name or a path in the settings must not become markup.
    pages = Environment(
        loader=FileSystemLoader(Path(__file__).parent),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    pages.filters["figure"] = _figure
    plots = [Markup(plot) for plot in _plots(steps, validations)]  # noqa: S704 - matplotlib's own
    return pages.get_template(_TEMPLATE).render(
        report=report,
        ending=_ENDINGS.get(report["ending"], report["ending"]),
        written=datetime.now(UTC).strftime("%Y-%m-%d %H:%M UTC"),
        plots=plots,
        settings=_flat(report["settings"]),
    )


def _plots(steps: Sequence[StepDone], validations: Sequence[Validated]) -> list[str]:
    """The losses, and the tokens per second; none where no step was taken."""
    if not steps:
        return []
    places = [step.step for step in steps]

    def losses(axes: "Axes") -> None:
        values = [step.loss for step in steps]
        smooth = len(values) >= _SMOOTHED_FROM
        axes.plot(places, values, color="#4878a8", alpha=0.35 if smooth else 1.0, label="training")
        if smooth:
            axes.plot(places, _smoothed(values), color="#4878a8", label="training, smoothed")
        if validations:
            where = [validation.step for validation in validations]
            found = [validation.loss for validation in validations]
            axes.plot(where, found, "o-", color="#c8553d", markersize=4, label="validation")
        axes.set_ylabel("loss")
        axes.legend(frameon=False)

    def rates(axes: "Axes") -> None:
        axes.plot(places, [step.tokens / step.seconds for step in steps], color="#5b8c5a")
        axes.set_ylabel("tokens/s")
        axes.set_ylim(bottom=0)

    return [_drawn(losses, 3.2, "loss"), _drawn(rates, 1.9, "rate")]


def _drawn(draw: Any, height: float, name: str) -> str:
    """An SVG element 7.2 inches wide."""
    import matplotlib as mpl
    from matplotlib.figure import Figure
    from matplotlib.ticker import MaxNLocator

    with mpl.rc_context(_RC):
        figure = Figure(figsize=(7.2, height), layout="constrained")
        axes = figure.add_subplot()
        draw(axes)
        axes.set_xlabel("step")
        axes.xaxis.set_major_locator(MaxNLocator(integer=True))
        text = StringIO()
        figure.savefig(text, format="svg", metadata={"Date": None, "Title": name}, transparent=True)
    drawn = text.getvalue()
    return drawn[drawn.index("<svg") :]


def _smoothed(values: Sequence[float]) -> list[float]:
    """Means over about a tenth of the run around each step: they do not lag behind the fall."""
    reach = max(1, len(values) // 20)
    windows = (values[max(0, at - reach) : at + reach + 1] for at in range(len(values)))
    return [fmean(window) for window in windows]


def _flat(tree: dict[str, Any], prefix: str = "") -> list[tuple[str, str]]:
    """Every setting by its dotted key."""
    found: list[tuple[str, str]] = []
    for key, value in tree.items():
        if isinstance(value, dict) and value:
            found += _flat(value, f"{prefix}{key}.")
        else:
            found.append((prefix + key, "—" if value is None else str(value)))
    return found


def _figure(value: Any) -> str:
    """A number as people write it; a dash for none."""
    if value is None:
        return "—"
    if isinstance(value, int):
        return f"{value:,}"
    return f"{value:,.4g}" if abs(value) < 1000 else f"{value:,.0f}"
