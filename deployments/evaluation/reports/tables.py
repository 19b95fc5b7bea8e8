"""The reports as tables for the terminal; narrow consoles get fewer columns, never cut numbers."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from deployments.evaluation.comparison.report import ComparisonReport, MetricComparison
from deployments.evaluation.reports.run import GraderReport, RunReport
from training.gate.evidence import Interval

__all__ = ["comparison_table", "run_table"]

_WIDE: Final = 110
_MEDIUM: Final = 72
_STYLES: Final = {"better": "green", "worse": "red", "mixed": "yellow"}
_NAMED: Final = 10


class _Column(NamedTuple):
    title: str
    width: int
    """Consoles narrower than this go without it."""
    right: bool = True


class _Fitted:
    """A table with the columns that the console has room for."""

    def __init__(self, columns: Sequence[_Column], rows: Sequence[Sequence[Text]]) -> None:
        self._columns, self._rows = columns, rows

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        shown = [i for i, c in enumerate(self._columns) if c.width <= options.max_width]
        table = Table(box=None, pad_edge=False)
        for place in shown:
            column = self._columns[place]
            if column.right:
                table.add_column(column.title, justify="right", no_wrap=True)
            else:
                table.add_column(column.title, overflow="fold")
        for row in self._rows:
            table.add_row(*(row[place] for place in shown))
        yield table


def run_table(report: RunReport) -> RenderableType:
    """A run's graders, one a row, with what went wrong below."""
    columns = (
        _Column("grader", 0, right=False),
        _Column("mean", 0),
        _Column("interval", _MEDIUM),
        _Column("passed", 0),
        _Column("of", _MEDIUM),
        _Column("median", _WIDE),
        _Column("lowest", _WIDE),
        _Column("highest", _WIDE),
        _Column("unscored", _WIDE),
    )
    parts: list[RenderableType] = [
        Text(f"{report.name}: {report.items} items, {report.answered} without an error"),
        *_synthetic(report.synthetic, report.items),
        _Fitted(columns, [_grader_row(one) for one in report.graders]),
    ]
    for one in report.graders:
        if one.summary:
            told = ", ".join(f"{name} {_number(value)}" for name, value in one.summary.items())
            parts.append(Text(f"{one.name}: {told}", style="dim"))
    if report.times:
        times = report.times
        parts.append(Text(f"Latency: median {times.median_s:.3f} s, p95 {times.p95_s:.3f} s"))
    if report.tokens:
        tokens = report.tokens
        cost = "" if tokens.cost is None else f", cost {tokens.cost:.4f}"
        parts.append(
            Text(f"Tokens: {tokens.prompt_tokens} asked, {tokens.completion_tokens} answered{cost}")
        )
    parts += [Text(f"{e.count} × {e.message}", style="red") for e in report.errors[:_NAMED]]
    return Group(*parts)


def comparison_table(report: ComparisonReport) -> RenderableType:
    """A comparison's metrics, one a row, under its verdict."""
    columns = (
        _Column("grader", 0, right=False),
        _Column("verdict", 0, right=False),
        _Column("baseline", _MEDIUM),
        _Column("candidate", _MEDIUM),
        _Column("difference", 0),
        _Column("interval", _WIDE),
        _Column("p (Holm)", _MEDIUM),
        _Column("better", _WIDE),
        _Column("worse", _WIDE),
        _Column("pairs", _WIDE),
    )
    parts: list[RenderableType] = [
        Text(f"{report.candidate} against {report.baseline}: {report.pairing.pairs} pairs"),
        *_synthetic(report.pairing.synthetic, report.pairing.pairs),
        Text(report.verdict, style=f"bold {_STYLES.get(report.verdict, '')}".strip()),
        *(Text(reason) for reason in report.reasons),
        _Fitted(columns, [_metric_row(one) for one in report.metrics]),
        *(Text(f"{one.grader}: {one.power}", style="dim") for one in report.metrics),
    ]
    worse = [
        f"{one.grader} on «{part.name}»: {part.difference:+.4f} on {part.items} pairs"
        for one in report.metrics
        for part in one.slices
        if part.verdict == "worse"
    ]
    parts += [Text(f"Worse: {told}", style="red") for told in worse[:_NAMED]]
    if len(worse) > _NAMED:
        parts.append(Text(f"and {len(worse) - _NAMED} more slices", style="red"))
    for one in report.left_out:
        parts.append(Text(f"Not compared: {one.grader}. {one.reason}", style="yellow"))
    pairing = report.pairing
    for name, numbers in (
        (report.baseline, pairing.baseline_only),
        (report.candidate, pairing.candidate_only),
    ):
        if numbers:
            shown = ", ".join(map(str, numbers[:_NAMED])) + (", …" if len(numbers) > _NAMED else "")
            parts.append(Text(f"{len(numbers)} items only in {name}: {shown}", style="yellow"))
    return Group(*parts)


def _synthetic(count: int, items: int) -> list[RenderableType]:
    if not count:
        return []
    return [Text(f"Synthetic data: {count} of {items} items were made up by a model", "yellow")]


def _grader_row(one: GraderReport) -> list[Text]:
    judged = one.passed + one.failed
    rate = "–" if one.pass_rate is None else f"{one.pass_rate:.1%}"
    return [
        Text(one.name),
        Text(_number(one.mean)),
        Text(_ends(one.interval)),
        Text(rate),
        Text(str(judged) if judged else "–"),
        Text(_number(one.median)),
        Text(_number(one.minimum)),
        Text(_number(one.maximum)),
        Text(str(one.unscored)),
    ]


def _metric_row(one: MetricComparison) -> list[Text]:
    return [
        Text(one.grader),
        Text(one.verdict, style=_STYLES.get(one.verdict, "")),
        Text(_number(one.baseline)),
        Text(_number(one.candidate)),
        Text(f"{one.difference:+.4f}"),
        Text(_ends(one.interval)),
        Text(f"{one.adjusted_p_value:.3g}"),
        Text(str(one.wins)),
        Text(str(one.losses)),
        Text(str(one.items)),
    ]


def _number(value: float | None) -> str:
    return "–" if value is None else f"{value:.4f}"


def _ends(interval: Interval | None) -> str:
    return f"{interval.low:.3f} to {interval.high:.3f}" if interval else "–"
