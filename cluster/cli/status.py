"""`everloop status`."""

import json

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cluster.cli.exits import UNREACHABLE
from cluster.launch.status import Status, read_status
from cluster.settings import load_settings

__all__ = ["print_status", "run_status"]


def run_status(*, as_json: bool) -> int:
    """Print what runs where. Exit code 3 when nothing runs."""
    status = read_status(load_settings())
    if as_json:
        print(json.dumps(status.as_json(), indent=2))
    else:
        print_status(Console(), status)
    return 0 if status.running else UNREACHABLE


def print_status(console: Console, status: Status) -> None:
    """Print a status as two or three small tables."""
    state = "ready" if status.ready else "not ready" if status.running else "not running"
    console.print(Text(f"Everloop is {state}.", style="bold green" if status.ready else "bold red"))
    where = Table(box=None, show_header=False, pad_edge=False)
    where.add_row("API", Text(status.base_url))
    where.add_row("Dashboard", Text(status.dashboard or "–"))
    where.add_row("Milvus", Text(status.milvus))
    where.add_row("Records", Text(status.database))
    where.add_row("Bytes", Text(status.storage))
    where.add_row("Processes", Text(str(status.processes)))
    console.print(where)
    if status.deployments:
        table = Table("deployment", "status", "replicas", "message", box=None, pad_edge=False)
        for row in status.deployments:
            replicas = ", ".join(f"{n} {state.lower()}" for state, n in row["replicas"].items())
            table.add_row(row["name"], row["status"], replicas, Text(row["message"][-300:]))
        console.print(table)
    if status.stores:
        table = Table("store", "id", "files", "in progress", "failed", box=None, pad_edge=False)
        for store in status.stores:
            counts = [str(store[key]) for key in ("files", "in_progress", "failed")]
            table.add_row(Text(store["name"] or "–"), store["id"], *counts)
        console.print(table)
    if status.traces_lost:
        console.print(
            Text(
                f"{status.traces_lost} traces were lost: the records were down or too slow. "
                "The log of the Gateway says when; `tracing.max_buffered` is how many may wait.",
                style="yellow",
            )
        )
    if status.problem:
        console.print(Text(status.problem, style="yellow"))
    if not status.running:
        console.print("Start it with `everloop up`.")
