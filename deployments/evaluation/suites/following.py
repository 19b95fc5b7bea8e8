"""Following runs to their end, with a bar on a terminal and lines elsewhere."""

import time
from collections.abc import Sequence
from typing import Any, Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeRemainingColumn

from cluster.errors import ApiError
from deployments.evaluation.suites.service import ENDED, EvalService

__all__ = ["follow_runs", "how_to_follow", "require_completed"]

_POLL_S: Final = 1.0
_NO_ANSWER_S: Final = 60.0
_TENTHS: Final = 10


def follow_runs(
    service: EvalService, eval_id: str, run_ids: Sequence[str], items: int, console: Console
) -> list[dict[str, Any]]:
    """Wait until each run has ended; `items` are those of one run. Returns the runs.

    A service that does not answer for a minute is gone: its last error is raised.
    """
    total = items * len(run_ids)
    columns = (
        TextColumn("{task.description}"),
        BarColumn(),
        MofNCompleteColumn(),
        TextColumn("{task.fields[counts]}"),
        TimeRemainingColumn(),
    )
    said = -1
    with Progress(*columns, console=console, transient=True) as bar:
        task = bar.add_task("evaluating", total=total, counts="")
        while True:
            runs = [_patiently(service, eval_id, run_id) for run_id in run_ids]
            done, counts = _counts(runs)
            bar.update(task, completed=done, counts=counts)
            tenth = _TENTHS * done // max(total, 1)
            if not console.is_terminal and tenth != said:
                said = tenth
                line = f"{done} of {total} items{f': {counts}' if counts else ''}"
                console.print(line, highlight=False, soft_wrap=True)
            if all(run["status"] in ENDED for run in runs):
                return runs
            time.sleep(_POLL_S)


def how_to_follow(run_ids: Sequence[str]) -> str:
    """What to do about runs that go on."""
    lines = ["The run goes on." if len(run_ids) == 1 else "The runs go on."]
    for run_id in run_ids:
        lines.append(
            f"`everloop eval show {run_id}` shows it; `everloop eval cancel {run_id}` ends it."
        )
    return "\n".join(lines)


def _patiently(service: EvalService, eval_id: str, run_id: str) -> dict[str, Any]:
    """Ask for a run; a restart of the gateway is waited out."""
    from openai import APIConnectionError, InternalServerError, RateLimitError

    silent_since = time.monotonic()
    while True:
        try:
            return service.run(eval_id, run_id)
        except (APIConnectionError, InternalServerError, RateLimitError):
            if time.monotonic() - silent_since > _NO_ANSWER_S:
                raise
            time.sleep(_POLL_S)


def _counts(runs: Sequence[dict[str, Any]]) -> tuple[int, str]:
    totals = {"passed": 0, "failed": 0, "errored": 0}
    for run in runs:
        for name in totals:
            totals[name] += int((run.get("result_counts") or {}).get(name) or 0)
    shown = ", ".join(f"{count} {name}" for name, count in totals.items() if count)
    return sum(totals.values()), shown


def require_completed(run: dict[str, Any]) -> None:
    """Raise ApiError where a run did not end well."""
    if run["status"] == "completed":
        return
    error = run.get("error") or {}
    message = error.get("message") if isinstance(error, dict) else None
    raise ApiError(
        f"The run {run['id']} {_ENDINGS.get(run['status'], run['status'])}"
        f"{f': {message}' if message else ''}.",
        fix=f"`everloop eval show {run['id']}` shows what is done of it.",
    )


_ENDINGS: Final = {"failed": "failed", "canceled": "was cancelled", "cancelled": "was cancelled"}
