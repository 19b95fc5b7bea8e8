"""What stands of the improvement path, and its moves, as tables and JSON."""

from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cluster.cli.checks import print_checks
from cluster.client import connected
from cluster.errors import ApiError, SettingsError
from cluster.tables import plain_table, show_table
from cluster.terminal import print_json, shown_time

__all__ = [
    "run_adapters",
    "run_aliases",
    "run_gate_page",
    "run_jobs",
    "run_promote",
    "run_rollback",
    "run_wish",
    "translated_misses",
]

_MIB: Final = 1024**2
_LISTED_BY: Final = {
    "job": "`everloop jobs` lists those there are.",
    "alias": "`everloop aliases` lists those there are.",
    "target": "`everloop adapters` lists the adapters, and `GET /v1/models` all that answers.",
    "gate": "`everloop train` tells a job's gate run; `GET /v1/gate_runs` lists all.",
}


def run_jobs(base_url: str | None, *, as_json: bool) -> None:
    """List the fine-tuning jobs, newest first."""
    found = _get(base_url, "/fine_tuning/jobs?limit=100")
    if as_json:
        print_json(found)
        return
    table = plain_table("job", "status", "model", "adapter", "made")
    for job in found["data"]:
        adapter = job["fine_tuned_model"] or "-"
        table.add_row(
            job["id"], job["status"], job["model"], adapter, shown_time(job["created_at"])
        )
    _show(table, found["data"], "No job was made yet: `everloop train FILE` makes one.")


def run_wish(job_id: str, wish: str, base_url: str | None, *, as_json: bool) -> None:
    """Cancel, pause or resume a job."""
    job = _post(base_url, f"/fine_tuning/jobs/{job_id}/{wish}", {}, "job")
    if as_json:
        print_json(job)
    else:
        asked = f", asked to {wish}" if job["status"] == "running" and wish != "resume" else ""
        print(f"{job['id']} is {job['status']}{asked}")


def run_adapters(base_url: str | None, *, as_json: bool) -> None:
    """List the adapter versions, newest first."""
    found = _get(base_url, "/adapters?limit=100")
    if as_json:
        print_json(found)
        return
    table = plain_table("adapter", "kind", "MiB", "job", "aliases", "made")
    for row in found["data"]:
        table.add_row(
            row["id"],
            row["kind"],
            f"{row['bytes'] / _MIB:.1f}",
            str(row["lineage"].get("job", "-")),
            ", ".join(row["aliases"]) or "-",
            shown_time(row["created_at"]),
        )
    _show(table, found["data"], "No adapter yet: `everloop train FILE` makes one.")


def run_aliases(name: str | None, base_url: str | None, *, as_json: bool) -> None:
    """List what the aliases point at, or how one of them moved."""
    path = "/aliases" if name is None else f"/aliases/{name}/history?limit=100"
    found = _get(base_url, path, "alias")
    if as_json:
        print_json(found)
        return
    if name is None:
        table = plain_table("alias", "answers by", "moves", "since")
        for row in found["data"]:
            since = shown_time(row["updated_at"]) if row["version"] else "-"
            table.add_row(row["id"], row["target"], str(row["version"]), since)
    else:
        table = plain_table("move", "how", "from", "to", "why", "at")
        for row in found["data"]:
            table.add_row(
                str(row["version"]),
                row["kind"],
                row["source"] or "-",
                row["target"],
                Text(row["reason"] or row["gate"] or "-"),
                shown_time(row["created_at"]),
            )
    _show(table, found["data"], f"{name} has not moved.")


def run_promote(
    target: str,
    alias: str,
    gate: str | None,
    reason: str | None,
    base_url: str | None,
    *,
    override: bool,
    as_json: bool,
) -> None:
    """Point an alias at another version."""
    body: dict[str, Any] = {"target": target, "override": override}
    body |= {} if gate is None else {"gate": gate}
    body |= {} if reason is None else {"reason": reason}
    _moved(_post(base_url, f"/aliases/{alias}/promote", body, "target"), as_json=as_json)


def run_rollback(
    alias: str, steps: int, reason: str | None, base_url: str | None, *, as_json: bool
) -> None:
    """Point an alias at what it pointed at before."""
    body: dict[str, Any] = {"steps": steps} | ({} if reason is None else {"reason": reason})
    _moved(_post(base_url, f"/aliases/{alias}/rollback", body, "alias"), as_json=as_json)


def run_gate_page(gate_id: str, page: Path | None, base_url: str | None, *, as_json: bool) -> None:
    """Show a gate run's verdict and reasons, or save its page.

    Raises SettingsError where the page cannot be written.
    """
    run = _get(base_url, f"/gate_runs/{gate_id}", "gate")
    if page is not None:
        with connected(base_url) as client:
            text = client.get(f"/gate_runs/{gate_id}/page", cast_to=str)
        try:
            page.write_text(text, encoding="utf-8")
        except OSError as error:
            raise SettingsError(
                f"The page cannot be written to {page}: {error.strerror}.",
                fix="Give --page a file in a folder that there is.",
            ) from error
    if as_json:
        print_json(run)
        return
    print(f"{run['id']}: {run['status']}, {run['adapter']} against {run['champion'] or '-'}")
    if run["verdict"]:
        print(f"verdict: {run['verdict']}{', promoted' if run['promoted'] else ''}")
    print_checks(run)
    if run["error"]:
        print(f"error: {run['error']['message']}")
    if page is not None:
        print(f"page: {page}")


def _moved(alias: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(alias)
        return
    print(f"{alias['id']} answers by {alias['target']} (was {alias['previous'] or 'nothing'})")
    if alias["replicas"]:
        print(f"loaded on {alias['replicas']} replica(s) before, in {alias['load_ms']:.0f} ms")


def _get(base_url: str | None, path: str, what: str = "") -> Any:
    with translated_misses(what), connected(base_url) as client:
        return client.get(path, cast_to=object)


def _post(base_url: str | None, path: str, body: dict[str, Any], what: str) -> Any:
    with translated_misses(what), connected(base_url) as client:
        return client.post(path, body=body, cast_to=object)


@contextmanager
def translated_misses(what: str) -> Iterator[None]:
    """Where the server knows no such `what`, say which command lists those that it knows."""
    try:
        yield
    except ApiError as error:
        if error.status == 404 and not error.fix:
            error.fix = _LISTED_BY.get(what, "")
        raise


def _show(table: Table, rows: list[Any], otherwise: str) -> None:
    console = Console()
    if rows:
        show_table(console, table)
    else:
        console.print(otherwise, highlight=False)
