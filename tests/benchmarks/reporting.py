"""How benchmarks report: a table in the terminal, JSON under `tests/benchmarks/results/`."""

import json
import platform
import statistics
from collections.abc import Iterable, Sequence
from datetime import UTC, datetime
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table

__all__ = ["RESULTS", "median", "percentile", "report"]

RESULTS: Final = Path(__file__).parent / "results"


def median(values: Iterable[float]) -> float:
    """The median; raises StatisticsError for no values."""
    return statistics.median(values)


def percentile(values: Sequence[float], share: float) -> float:
    """The value below which `share` (0 to 1) of `values` lie, by nearest rank."""
    ordered = sorted(values)
    return ordered[min(len(ordered) - 1, int(share * len(ordered)))]


def report(
    name: str, title: str, columns: Sequence[str], rows: Sequence[Sequence[Any]], **more: Any
) -> None:
    """Print the table and write `results/NAME.json` with the rows and `more`."""
    table = Table(title=title)
    for column in columns:
        table.add_column(column)
    for row in rows:
        table.add_row(*(f"{cell:.3f}" if isinstance(cell, float) else str(cell) for cell in row))
    Console().print(table)
    RESULTS.mkdir(parents=True, exist_ok=True)
    path = RESULTS / f"{name}.json"
    document = {
        "benchmark": name,
        "at": datetime.now(UTC).isoformat(timespec="seconds"),
        "machine": f"{platform.machine()}, {platform.python_version()}",
        "columns": list(columns),
        "rows": [list(row) for row in rows],
        **more,
    }
    path.write_text(json.dumps(document, indent=2) + "\n")
    print(f"Written: {path}")
