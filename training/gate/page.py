"""The report as one page of HTML, with its plots inside and nothing fetched."""

from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Final

from training.gate.plots import difference_plot, latency_plot, slices_plot

if TYPE_CHECKING:
    from jinja2 import Template

    from training.gate.report import GateReport

__all__ = ["page_template", "render_page"]

_TEMPLATES: Final = Path(__file__).parent / "templates"


def render_page(report: "GateReport") -> str:
    """Render the page. What models and people wrote is escaped."""
    evidence = report.evidence
    judged = evidence.slices.judged
    bounds = report.settings.bounds
    latency = evidence.latency
    plots = {
        "difference": evidence.comparison
        and difference_plot(evidence.comparison, bounds.min_improvement),
        "slices": slices_plot(judged, bounds.slice) if judged else None,
        "latency": latency and latency_plot(latency, report.candidate.shown, report.champion.shown),
    }
    template = page_template("report.html.jinja")
    return template.render(report=report, evidence=evidence, bounds=bounds, plots=plots)


@cache
def page_template(name: str, folder: Path | None = None) -> "Template":
    """The template `name` of `folder`, which may extend the `page.html.jinja` that lies here."""
    from jinja2 import Environment, FileSystemLoader, StrictUndefined

    environment = Environment(
        loader=FileSystemLoader([folder, _TEMPLATES] if folder else [_TEMPLATES]),
        autoescape=True,
        undefined=StrictUndefined,
        trim_blocks=True,
        lstrip_blocks=True,
    )
    return environment.get_template(name)
