"""The reports as pages of HTML, with their plots inside and nothing fetched."""

from pathlib import Path
from typing import Final

from deployments.evaluation.comparison.report import ComparisonReport
from deployments.evaluation.reports.plots import (
    means_plot,
    metric_plot,
    scores_plot,
    slices_plot,
    times_plot,
)
from deployments.evaluation.reports.run import RunReport
from training.gate.page import page_template

__all__ = ["comparison_page", "run_page"]

_TEMPLATES: Final = Path(__file__).parent / "templates"
_PLOTTED: Final = 20
"""Graders with plots of their own: a page of hundreds would not open on a phone."""


def run_page(report: RunReport) -> str:
    """Render a run's page. What models and people wrote is escaped."""
    plotted = report.graders[:_PLOTTED]
    plots = {
        "means": means_plot(report.graders),
        "times": report.times and times_plot(report.times),
        "scores": {one.name: scores_plot(one) for one in plotted},
        "slices": {one.name: slices_plot(one) for one in plotted},
    }
    template = page_template("run.html.jinja", _TEMPLATES)
    return template.render(report=report, plots=plots, synthetic=report.synthetic)


def comparison_page(report: ComparisonReport) -> str:
    """Render a comparison's page. What models and people wrote is escaped."""
    plots = {
        one.grader: metric_plot(one, report.settings.min_difference)
        for one in report.metrics[:_PLOTTED]
    }
    template = page_template("comparison.html.jinja", _TEMPLATES)
    return template.render(report=report, plots=plots, synthetic=report.pairing.synthetic)
