"""Experiments in the terminal."""

from collections.abc import Mapping, Sequence
from typing import Any

from rich.console import Console
from rich.text import Text

from cluster.tables import plain_table, show_table
from cluster.terminal import shown_time

__all__ = ["print_events", "print_experiment", "print_experiments", "said_of"]


def said_of(experiment: Mapping[str, Any]) -> str:
    """One line about it."""
    decision = experiment["decision"] or {}
    more = f": {decision['reason']}" if decision else ""
    share = f", {experiment['share']:.0%} of {experiment['alias']}"
    running = share if experiment["status"] == "running" else ""
    return f"{experiment['id']} is {experiment['status']}{running}{more}"


def print_experiments(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """A row for each."""
    table = plain_table("experiment", "name", "alias", "status", "arms", "came to", "made")
    for row in rows:
        table.add_row(
            row["id"],
            Text(row["name"] or "-"),
            row["alias"],
            row["status"],
            ", ".join(arm["name"] for arm in row["arms"]),
            (row["decision"] or {}).get("outcome", "-"),
            shown_time(row["created_at"]),
        )
    show_table(console, table)


def print_experiment(console: Console, experiment: Mapping[str, Any]) -> None:
    """All that is known of its arms."""
    console.print(Text(said_of(experiment)), soft_wrap=True)
    report = experiment["report"]
    if report is None:
        arms = ", ".join(arm["name"] for arm in experiment["arms"])
        console.print(f"arms: {arms}; nothing was seen of them yet", highlight=False)
        return
    metric = experiment["settings"]["metric"]["name"]
    table = plain_table(
        "arm", "users", "requests", metric, "difference", "p", "errors", "empty", "refused"
    )
    for arm in report["arms"]:
        rates, difference = arm["rates"], arm["difference"]
        table.add_row(
            _name(arm),
            str(arm["units"]),
            str(arm["requests"]),
            _number(arm["mean"]),
            _interval(difference),
            "-" if difference is None else f"{difference['p_value']:.3g}",
            *(_share(rates[fault]) for fault in ("error", "empty", "refused")),
        )
    show_table(console, table)
    console.print(Text(_gist(experiment, report)), soft_wrap=True)
    for name, stopped in experiment["stopped_arms"].items():
        console.print(Text(f"{name} was stopped: {stopped['reason']}"), soft_wrap=True)
    if report["sample_ratio"]["alarm"]:
        console.print(
            Text(f"Users are not split as they should be: {report['sample_ratio']['counts']}"),
            style="bold red",
            soft_wrap=True,
        )
    if promotion := experiment["promotion"]:
        by = f" by the gate run {promotion['gate']}" if "gate" in promotion else ""
        console.print(
            f"promotion of {promotion['arm']}{by}: {promotion['status']}", highlight=False
        )


def print_events(console: Console, rows: Sequence[Mapping[str, Any]]) -> None:
    """A row for each."""
    table = plain_table("at", "event", "what")
    for row in rows:
        table.add_row(shown_time(row["created_at"]), row["type"], Text(row["message"]))
    show_table(console, table)


def _gist(experiment: Mapping[str, Any], report: Mapping[str, Any]) -> str:
    needed = report["expected_units"]
    effect = experiment["settings"]["min_effect"]
    about = f"; about {needed} are needed to tell a difference of {effect:g}" if needed else ""
    return f"{report['observed']} of {report['units']} users have a value{about}"


def _name(arm: Mapping[str, Any]) -> str:
    marks = [mark for mark in ("shadow", "stopped") if arm[mark]]
    return f"{arm['name']} ({', '.join(marks)})" if marks else str(arm["name"])


def _interval(difference: Mapping[str, Any] | None) -> str:
    if difference is None or difference["estimate"] is None:
        return "-"
    return f"{difference['estimate']:+.3f} [{difference['low']:+.3f}, {difference['high']:+.3f}]"


def _number(value: float | None) -> str:
    return "-" if value is None else f"{value:.4g}"


def _share(value: float | None) -> str:
    return "-" if value is None else f"{value:.1%}"
