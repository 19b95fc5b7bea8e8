"""A dataset in the terminal: figures, lengths as bars, problems, and what curating did."""

from collections.abc import Iterable, Sequence
from typing import Final

from rich.console import Console, ConsoleOptions, Group, RenderableType, RenderResult
from rich.table import Table
from rich.text import Text

from cluster.tables import visible
from training.data.curation.receipt import Receipt, StageReceipt
from training.data.inspect import Bin, Inspection, Lengths
from training.data.problems import Problem

__all__ = ["Bars", "render_inspection", "render_mask", "render_problems", "render_receipt"]

_EIGHTHS: Final = " ▏▎▍▌▋▊▉█"
_LEAST_BAR: Final = 4
_UNITS: Final = {"chat": "conversations", "preference": "pairs", "completion": "completions"}


class Bars:
    """Bins as horizontal bars that fit the width at hand; plain `#` where blocks cannot be shown.

    On a console too narrow for bars of four characters, only the figures.
    """

    def __init__(self, bins: Sequence[Bin]) -> None:
        self._bins = bins

    def __rich_console__(self, console: Console, options: ConsoleOptions) -> RenderResult:
        most = max((b.rows for b in self._bins), default=0)
        labels = [_label(b) for b in self._bins]
        figures = [f"{b.rows:,}" for b in self._bins]
        left, right = max(map(len, labels), default=0), max(map(len, figures), default=0)
        room = options.max_width - left - right - 2
        for bin_, label, figure in zip(self._bins, labels, figures, strict=True):
            line = Text(f"{label:>{left}} ", no_wrap=True, overflow="crop")
            if room >= _LEAST_BAR:
                line.append(_bar(bin_.rows, most, room, plain=options.ascii_only), style="cyan")
                line.append(" ")
            line.append(f"{figure:>{right}}")
            yield line


def render_inspection(inspection: Inspection) -> RenderableType:
    """Counts by kind, quantiles of the lengths in tokens, and their histogram."""
    summary = inspection.summary
    kinds = ", ".join(f"{count:,} {_UNITS[kind]}" for kind, count in summary.by_kind.items())
    head = Text(f"{summary.rows:,} rows", style="bold")
    detail = f"{summary.messages:,} messages, {summary.characters:,} characters"
    head.append(f": {kinds}; {detail}" if kinds else "", style="not bold")
    lengths = inspection.lengths
    if lengths is None:
        return head
    return Group(head, _quantiles(lengths), Bars(lengths.bins))


def render_mask(pieces: Iterable[tuple[str, float]]) -> Text:
    """The text of an example, given as pieces with the weight of their loss.

    What carries loss is green, and underlined where there are no colours. Control characters are
    shown, not obeyed.
    """
    text = Text()
    for piece, weight in pieces:
        text.append(visible(piece), style="green underline" if weight else "dim")
    return text


def render_problems(problems: Sequence[Problem], more: int) -> Table:
    """One line for each problem, in the order of the file."""
    table = Table("line", "field", "problem", box=None, pad_edge=False, header_style="bold")
    table.columns[0].justify = "right"
    for problem in problems:
        line = str(problem.line) if problem.line else "file"
        table.add_row(line, *(Text(visible(part)) for part in (problem.field, problem.message)))
    if more:
        table.add_row("", "", Text(f"and {more:,} more", style="dim"))
    return table


def render_receipt(receipt: Receipt) -> Table:
    """What each stage took and left, and why rows went."""
    table = Table("stage", "in", "out", "what", box=None, pad_edge=False, header_style="bold")
    for column in table.columns[1:3]:
        column.justify = "right"
    for stage in receipt.stages:
        table.add_row(
            stage.stage, f"{stage.rows_in:,}", f"{stage.rows_out:,}", Text(_outcome(stage))
        )
    table.add_row("train", "", f"{receipt.train_rows:,}", "")
    table.add_row("validation", "", f"{receipt.validation_rows:,}", "")
    return table


def _outcome(stage: StageReceipt) -> str:
    parts = [f"{count:,} {reason}" for reason, count in stage.removed.items()]
    if stage.changed:
        parts.append(f"{stage.changed:,} changed")
    parts += [f"{name} {count:,}" for name, count in stage.found.items()]
    return "; ".join(parts)


def _quantiles(lengths: Lengths) -> Text:
    figures = [("shortest", lengths.shortest)]
    figures += [(f"{share:.0%}", length) for share, length in lengths.quantiles.items()]
    figures.append(("longest", lengths.longest))
    said = ", ".join(f"{name} {length:,}" for name, length in figures)
    return Text(f"{lengths.total:,} tokens, {lengths.mean:,.1f} a row: {said}")


def _label(bin_: Bin) -> str:
    if bin_.last is None:
        return f"{bin_.first:,}+"
    return f"{bin_.first:,}" if bin_.first == bin_.last else f"{bin_.first:,}-{bin_.last:,}"


def _bar(rows: int, most: int, room: int, *, plain: bool) -> str:
    """`room` characters, filled in proportion; at least a sliver for what is not nothing."""
    if plain:
        filled = max(round(room * rows / most), 1) if rows else 0
        return ("#" * filled).ljust(room)
    eighths = max(round(8 * room * rows / most), 1) if rows else 0
    whole, part = divmod(eighths, 8)
    return (_EIGHTHS[8] * whole + (_EIGHTHS[part] if part else "")).ljust(room)
