"""What `everloop drift` does, over HTTP."""

from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.text import Text

from cluster.client import connected
from cluster.errors import ApiError, SettingsError
from cluster.tables import plain_table, show_table
from cluster.terminal import print_json, shown_time
from cluster.yaml_file import read_mapping

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = ["create", "dataset", "listed", "run", "show"]

_MONITOR: Final = "monitor_"
_TOPICS: Final = 5
_STYLES: Final = {"out": "red", "rose": "yellow", "fell": "yellow"}


def create(
    name: str,
    config: Path | None,
    filters: Mapping[str, str | None],
    *,
    base_url: str | None,
    as_json: bool,
) -> None:
    """Create a monitor; `filters` go over those of the YAML file. Raises SettingsError."""
    settings = _settings(config)
    given = {key: value for key, value in filters.items() if value is not None}
    if given:
        settings = {**settings, "filters": {**settings.get("filters", {}), **given}}
    with connected(base_url) as client:
        made = _post(client, "/drift/monitors", {"name": name, "settings": settings})
    _tell(made, f"{made['id']} watches from now on.", as_json=as_json)


def listed(*, base_url: str | None, as_json: bool) -> None:
    """List the monitors."""
    with connected(base_url) as client:
        found = _get(client, "/drift/monitors?limit=100")
    if as_json:
        print_json(found)
        return
    table = plain_table("monitor", "name", "status", "looks", "last look", "drift", "error")
    for one in found["data"]:
        error = (one["error"] or {}).get("message", "-")
        drift = ", ".join(one["alarmed"]) or "-"
        last = shown_time(one["looked_at"])
        looks = str(one["looks"])
        table.add_row(one["id"], one["name"] or "-", one["status"], looks, last, drift, error)
    _show(table, found["data"], "No monitor yet: `everloop drift create NAME` makes one.")


def show(target: str, *, page: Path | None, base_url: str | None, as_json: bool) -> None:
    """Show a report, or the latest one of a monitor."""
    with connected(base_url) as client:
        report_id = target
        if target.startswith(_MONITOR):
            newest = _get(client, f"/drift/monitors/{target}/reports?limit=1")["data"]
            if not newest:
                monitor = _get(client, f"/drift/monitors/{target}")
                raise ApiError(f"{target} has no report yet. {_state_of(monitor)}")
            report_id = newest[0]["id"]
        report = _get(client, f"/drift/reports/{report_id}")
        if page is not None:
            text = client.get(f"/drift/reports/{report_id}/page", cast_to=str)
            page.write_text(text, encoding="utf-8")
    if as_json:
        print_json(report)
        return
    console = Console()
    console.print(Text(f"{report['id']}  {shown_time(report['created_at'])}"), highlight=False)
    console.print(Text(report["summary"]), highlight=False, soft_wrap=True)
    show_table(console, _signals(report["signals"]))
    for topic in report["topics"][:_TOPICS]:
        _print_topic(console, topic)
    if page is not None:
        console.print(f"page: {page}", highlight=False, soft_wrap=True)


def run(monitor_id: str, *, base_url: str | None, as_json: bool) -> None:
    """Ask for a look now."""
    with connected(base_url) as client:
        found = _post(client, f"/drift/monitors/{monitor_id}/run", {})
    said = f"{monitor_id} looks within seconds: `everloop drift show {monitor_id}`."
    _tell(found, said, as_json=as_json)


def dataset(
    report_id: str,
    topic: int,
    kind: str,
    out: Path | None,
    *,
    drafts: bool | None,
    base_url: str | None,
    as_json: bool,
) -> None:
    """Make a data set of a topic, which the service keeps; `out` gets a copy."""
    body = {"topic": topic, "kind": kind, "drafts": drafts}
    if out is not None:
        body["filename"] = out.name
    with connected(base_url) as client:
        made = _post(client, f"/drift/reports/{report_id}/dataset", body)
        if out is not None:
            out.parent.mkdir(parents=True, exist_ok=True)
            out.write_bytes(client.files.content(made["file"]["id"]).read())
    said = f"{made['file']['id']}: {made['rows']} rows, {made['drafts']} of them drafts."
    if out is not None:
        said += f" Written: {out}"
    _tell(made, said, as_json=as_json)


def _signals(signals: Sequence[Mapping[str, Any]]) -> Any:
    table = plain_table("signal", "test", "value", "p", "level", "bounds", "looks out", "requests")
    for one in signals:
        bounds = "-" if one["p_value"] is None else "out" if one["out"] else "within"
        table.add_row(
            one["name"],
            one["test"],
            _number(one["value"], ".3f"),
            _number(one["p_value"], ".2g"),
            _number(one["level"], ".2g"),
            Text(bounds, style=_STYLES.get(bounds, "")),
            str(one["looks_out"]),
            str(one["current_requests"]),
        )
    return table


def _print_topic(console: Console, topic: Mapping[str, Any]) -> None:
    moved = "level" if topic["moved"] == "no" else topic["moved"]
    title = Text.assemble(
        (f"topic {topic['number']} ", "bold"),
        ", ".join(topic["keywords"]),
        ": ",
        (moved, _STYLES.get(moved, "")),
        f" {topic['reference_share']:.1%} → {topic['current_share']:.1%}"
        f" (p {topic['p_value']:.2g}), quality: {topic['quality_verdict']}",
    )
    console.print(title, highlight=False, soft_wrap=True)
    for example in topic["examples"][:3]:
        console.print(Text(f"  {example['question']}"), highlight=False, soft_wrap=True)


def _state_of(monitor: Mapping[str, Any]) -> str:
    if monitor["error"]:
        return str(monitor["error"]["message"])
    if not monitor["reference_complete"]:
        wanted = monitor["settings"]["reference"]["requests"]
        return f"Its reference waits for {wanted} requests."
    every = monitor["settings"]["schedule"]["every_requests"]
    return f"It looks as soon as {every} new requests have come."


def _settings(config: Path | None) -> dict[str, Any]:
    return {} if config is None else read_mapping(config, "The config", SettingsError)


def _get(client: "OpenAI", path: str) -> dict[str, Any]:
    return client.get(path, cast_to=dict[str, Any])


def _post(client: "OpenAI", path: str, body: Mapping[str, Any]) -> dict[str, Any]:
    return client.post(path, cast_to=dict[str, Any], body=body)


def _tell(found: Mapping[str, Any], said: str, *, as_json: bool) -> None:
    if as_json:
        print_json(found)
    else:
        Console().print(said, highlight=False, soft_wrap=True, markup=False)


def _show(table: Any, rows: Sequence[Any], empty: str) -> None:
    if rows:
        show_table(Console(), table)
    else:
        print(empty)


def _number(value: float | None, form: str) -> str:
    return "-" if value is None else format(value, form)
