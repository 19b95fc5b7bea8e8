"""A comparison as tables for the terminal; narrow consoles get fewer columns, never cut numbers."""

from collections.abc import Sequence
from typing import Final, NamedTuple

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from deployments.evaluation.comparison.report import (
    ComparisonReport,
    MetricComparison,
    SliceComparison,
)
from training.gate.evidence import Interval

__all__ = ["comparison_table"]

_WIDE: Final = 110
_MEDIUM: Final = 72
_STYLES: Final = {"better": "green", "worse": "red", "mixed": "yellow"}
_NAMED: Final = 10
_SLICES_SHOWN: Final = 20


class _Column(NamedTuple):
    title: str
    width: int
    """Consoles narrower than this go without it."""
    right: bool = True


_SLICES: Final = (
    _Column("slice", 0, right=False),
    _Column("grader", _MEDIUM, right=False),
    _Column("verdict", 0, right=False),
    _Column("baseline", _MEDIUM),
    _Column("candidate", _MEDIUM),
    _Column("difference", 0),
    _Column("interval", _WIDE),
    _Column("pairs", _WIDE),
)


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
    sliced = [_slice_row(one.grader, part) for one in report.metrics for part in one.slices]
    if sliced:
        parts += [Text(""), _Fitted(_SLICES, sliced[:_SLICES_SHOWN])]
    if len(sliced) > _SLICES_SHOWN:
        parts.append(Text(f"and {len(sliced) - _SLICES_SHOWN} more slices", style="dim"))
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


def _slice_row(grader: str, part: SliceComparison) -> list[Text]:
    return [
        Text(part.name),
        Text(grader),
        Text(part.verdict, style=_STYLES.get(part.verdict, "")),
        Text(_number(part.baseline)),
        Text(_number(part.candidate)),
        Text(f"{part.difference:+.4f}"),
        Text(_ends(part.interval)),
        Text(str(part.items)),
    ]


def _synthetic(count: int, items: int) -> list[RenderableType]:
    if not count:
        return []
    return [Text(f"Synthetic data: {count} of {items} items were made up by a model", "yellow")]


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
