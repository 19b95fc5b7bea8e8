"""What `everloop audit` does."""

import json
import sys
import time
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import Any, Final

from rich.console import Console

from cluster.cli.exits import FAILED
from cluster.cli.managing import seconds_of
from cluster.client import connected
from cluster.errors import SettingsError
from cluster.paging import pages_of
from cluster.tables import plain_table, show_table, visible
from cluster.terminal import print_json, shown_time

__all__ = ["export_events", "list_events", "verify_events"]

_TIMEOUT_S: Final = 600.0


def list_events(
    wanted: Mapping[str, str | None],
    since: str | None,
    most: int,
    base_url: str | None,
    *,
    as_json: bool,
) -> None:
    """List events, newest first."""
    start = None if since is None else int(time.time()) - seconds_of(since)
    with connected(base_url) as client:
        found = list(pages_of(client, "/audit", {**wanted, "since": start}, most))
    if as_json:
        print_json(found)
        return
    table = plain_table("when", "actor", "action", "object", "detail")
    for event in found:
        table.add_row(
            shown_time(event["created_at"]),
            visible(event["actor"]),
            event["action"],
            visible(event["object_id"]),
            visible(json.dumps(event["detail"], ensure_ascii=False)),
        )
    show_table(Console(), table)


def export_events(out: Path | None, project: str | None, base_url: str | None) -> None:
    """Write all events, oldest first. Raises SettingsError where the file cannot be written."""
    if out is None:
        for line in _lines(project, base_url):
            sys.stdout.write(line)
        return
    count = 0
    try:
        with out.open("w", encoding="utf-8") as file:
            for line in _lines(project, base_url):
                file.write(line)
                count += 1
    except OSError as error:
        raise SettingsError(f"{out} cannot be written: {error.strerror}.") from error
    print(f"{count} events in {out}.")


def verify_events(
    file: Path | None, project: str | None, base_url: str | None, *, as_json: bool
) -> int:
    """Verify an export, or what the records hold. Raises SettingsError for what is no export."""
    if file is not None:
        found = _check_file(file)
    else:
        path = "/audit/verify" + ("" if project is None else f"?project={project}")
        with connected(base_url, timeout_s=_TIMEOUT_S) as client:
            answer: Any = client.get(path, cast_to=object)
        found = dict(answer)
    if as_json:
        print_json(found)
    elif found["valid"]:
        print(f"{found['events']} events are as they were written. The last: {found['head']}")
    else:
        where = f"{found['broken']}: " if found["broken"] else ""
        print(f"The log is broken. {where}{found['reason']}")
    return 0 if found["valid"] else FAILED


def _lines(project: str | None, base_url: str | None) -> Iterator[str]:
    with connected(base_url) as client:
        for event in pages_of(client, "/audit", {"order": "asc", "project": project}):
            yield json.dumps(event, ensure_ascii=False) + "\n"


def _check_file(file: Path) -> dict[str, Any]:
    from cluster.audit import check_chain

    try:
        with file.open(encoding="utf-8") as lines:
            found = check_chain(json.loads(line) for line in lines if line.strip())
    except (OSError, ValueError, KeyError, TypeError) as error:
        raise SettingsError(
            f"{file} is no export of an audit log: {type(error).__name__}: {error}.",
            fix="`everloop audit export --out FILE` writes one.",
        ) from error
    return {
        "valid": found.reason is None,
        "events": found.events,
        "head": found.head,
        "broken": None if found.broken is None else f"audit_{found.broken}",
        "reason": found.reason,
    }
