"""A look's report as a page of HTML, with its plot inside and nothing fetched."""

from datetime import UTC, datetime
from pathlib import Path
from typing import Final

from deployments.drift.report import LookReport
from training.gate.charts import BETTER, LEVEL, WORSE, Mark, forest_chart
from training.gate.evidence import Interval
from training.gate.page import page_template

__all__ = ["report_page"]

_TEMPLATES: Final = Path(__file__).parent / "templates"
_SHOWN: Final = 20
_COLOURS: Final = {"rose": WORSE, "fell": BETTER, "no": LEVEL}


def report_page(report: LookReport, name: str, at: int) -> str:
    """Render a look of the monitor `name` at the time `at`. What people wrote is escaped."""
    return page_template("drift.html.jinja", _TEMPLATES).render(
        report=report,
        name=name,
        at=datetime.fromtimestamp(at, UTC),
        plot=_shares_plot(report) if report.topics else "",
        shown=_SHOWN,
    )


def _shares_plot(report: LookReport) -> str:
    """The change of each topic's share."""
    marks = [
        Mark(
            f"{one.number}: {', '.join(one.keywords[:3])}",
            one.current_share - one.reference_share,
            Interval(low=one.interval.low, high=one.interval.high, method="Wilson"),
            _COLOURS[one.moved],
        )
        for one in report.topics[:_SHOWN]
    ]
    return forest_chart(marks, "share now minus share before")
