"""What a run of the drills found: a table to read, JSON to keep."""

import json
import platform
import statistics
from collections.abc import Sequence
from dataclasses import asdict, dataclass
from datetime import UTC, datetime
from pathlib import Path

from rich.console import Console
from rich.table import Table

from tests.drills.drill import Outcome

__all__ = ["Report", "Row", "rows_of"]

_TOLD: int = 20


@dataclass(frozen=True, slots=True)
class Row:
    """All runs of one drill."""

    drill: str
    times: int
    sent: int
    failed: int
    acknowledged: int
    lost: int
    median_s: float | None
    longest_s: float | None
    not_recovered: int


@dataclass(frozen=True)
class Report:
    """All runs of all drills."""

    seed: int
    outcomes: Sequence[Outcome]
    left_out: Sequence[tuple[str, str]]
    """Drills that did not run, and why."""
    lost_at_the_end: Sequence[str]
    """Promises of the whole run that did not stand when all was over."""

    @property
    def good(self) -> bool:
        """Whether nothing that was acknowledged is lost, and every drill recovered in its bound."""
        return all(outcome.good for outcome in self.outcomes) and not self.lost_at_the_end

    def show(self, console: Console) -> None:
        """Print the table, and below it what went wrong and what was left out."""
        total = len(self.outcomes)
        table = Table(title=f"{total} drills, seed {self.seed}")
        for column, side in (
            ("drill", "left"),
            ("times", "right"),
            ("requests failed", "right"),
            ("acknowledged", "right"),
            ("lost", "right"),
            ("recovery s, median", "right"),
            ("longest", "right"),
        ):
            table.add_column(column, justify="right" if side == "right" else "left")
        for row in rows_of(self.outcomes):
            table.add_row(
                row.drill,
                str(row.times),
                f"{row.failed} of {row.sent}" if row.sent else "-",
                str(row.acknowledged),
                str(row.lost),
                _seconds(row.median_s),
                _seconds(row.longest_s) + (f" ({row.not_recovered} not)" * bool(row.not_recovered)),
            )
        console.print(table)
        for outcome in self.outcomes:
            for told in [*outcome.lost[:_TOLD], *filter(None, [outcome.problem])]:
                console.print(f"[{outcome.drill}, {outcome.seed}] {told}", markup=False)
        for told in self.lost_at_the_end[:_TOLD]:
            console.print(f"at the end: {told}", markup=False)
        for name, why in self.left_out:
            console.print(f"Not run: {name} ({why}).", markup=False)

    def write(self, path: Path) -> None:
        """Keep all of it as JSON."""
        document = {
            "at": datetime.now(UTC).isoformat(timespec="seconds"),
            "machine": f"{platform.machine()}, {platform.python_version()}",
            "good": self.good,
            "rows": [asdict(row) for row in rows_of(self.outcomes)],
            **asdict(self),
        }
        path.write_text(json.dumps(document, indent=2) + "\n")


def rows_of(outcomes: Sequence[Outcome]) -> list[Row]:
    """One row for each drill, in the order in which they first ran."""
    rows = []
    for name in dict.fromkeys(outcome.drill for outcome in outcomes):
        runs = [outcome for outcome in outcomes if outcome.drill == name]
        seconds = [run.recovery_s for run in runs if run.recovery_s is not None]
        rows.append(
            Row(
                drill=name,
                times=len(runs),
                sent=sum(run.sent for run in runs),
                failed=sum(run.failed for run in runs),
                acknowledged=sum(run.acknowledged for run in runs),
                lost=sum(len(run.lost) for run in runs),
                median_s=statistics.median(seconds) if seconds else None,
                longest_s=max(seconds, default=None),
                not_recovered=len(runs) - len(seconds),
            )
        )
    return rows


def _seconds(value: float | None) -> str:
    return "-" if value is None else f"{value:.1f}"
