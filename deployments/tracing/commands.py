"""What `everloop traces` does, over `/v1/traces` with the openai client."""

import json
import time
from collections.abc import Sequence
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final, cast

from rich.console import Console

from cluster.client import connected
from cluster.errors import SettingsError
from cluster.paging import pages_of
from cluster.terminal import print_json
from deployments.tracing.terminal import print_line, print_list, print_stats, print_trace

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = ["delete", "export", "list_traces", "show", "stats", "tail"]

_PAGE: Final = 100
_POLL_S: Final = 1.0

Query = list[tuple[str, str]]


def list_traces(
    filters: Sequence[str], search: str | None, most: int, *, base_url: str | None, as_json: bool
) -> None:
    """List the newest."""
    query = _query(filters, search)
    with connected(base_url, timeout_s=60) as client:
        found = list(pages_of(client, "/traces", query, most))
    if as_json:
        print_json(found)
    elif found:
        print_list(Console(), found)
    else:
        print("No trace matches.")


def show(trace_id: str, *, base_url: str | None, as_json: bool) -> None:
    """Show one."""
    with connected(base_url, timeout_s=60) as client:
        found = _get(client, f"/traces/{trace_id}", [])
    if as_json:
        print_json(found)
    else:
        print_trace(Console(), found)


def tail(
    filters: Sequence[str], search: str | None, *, base_url: str | None, as_json: bool
) -> None:
    """Print traces as they come; Ctrl-C ends it."""
    query = _query(filters, search)
    console = Console()
    with connected(base_url, timeout_s=60) as client:
        newest = _get(client, "/traces", [*query, ("limit", "1")])["last_id"]
        if not as_json:
            Console(stderr=True).print("Waiting for requests; Ctrl-C ends it.")
        while True:
            page = _get(client, "/traces", [*query, *_after(newest)])
            for trace in page["data"]:
                if as_json:
                    print(json.dumps(trace, ensure_ascii=False), flush=True)
                else:
                    print_line(console, trace)
            newest = page["last_id"] or newest
            if not page["has_more"]:
                time.sleep(_POLL_S)


def stats(
    filters: Sequence[str],
    search: str | None,
    by: str | None,
    *,
    base_url: str | None,
    as_json: bool,
) -> None:
    """Print figures."""
    query = _query(filters, search) + ([("group_by", by)] if by else [])
    with connected(base_url, timeout_s=60) as client:
        found = _get(client, "/traces/stats", query)
    if as_json:
        print_json(found)
    else:
        print_stats(Console(), found)


def export(
    out: Path,
    filters: Sequence[str],
    search: str | None,
    most: int,
    *,
    base_url: str | None,
    as_json: bool,
) -> None:
    """Write them to a file. What is there already is replaced once all are read."""
    query = _query(filters, search)
    out.parent.mkdir(parents=True, exist_ok=True)
    partial = out.with_name(f"{out.name}.partial")
    count = 0
    try:
        with (
            connected(base_url, timeout_s=60) as client,
            partial.open("w", encoding="utf-8") as file,
        ):
            for trace in pages_of(client, "/traces", query, most):
                file.write(json.dumps(trace, ensure_ascii=False) + "\n")
                count += 1
        partial.replace(out)
    finally:
        partial.unlink(missing_ok=True)
    if as_json:
        print_json({"traces": count, "file": str(out)})
    else:
        Console().print(f"{count} traces: {out}", highlight=False, soft_wrap=True)


def delete(trace_id: str, *, base_url: str | None, as_json: bool) -> None:
    """Delete one."""
    with connected(base_url, timeout_s=60) as client:
        found = cast("dict[str, Any]", client.delete(f"/traces/{trace_id}", cast_to=object))
    if as_json:
        print_json(found)
    else:
        print(f"Deleted {found['id']}.")


def _query(filters: Sequence[str], search: str | None) -> Query:
    """Filters as query parameters. Raises SettingsError for one that is no NAME=VALUE."""
    query = []
    for text in filters:
        name, equals, value = text.partition("=")
        if not equals or not name.isidentifier():
            raise SettingsError(
                f"--filter {text!r} is not NAME=VALUE.", fix="Such as --filter status=5xx."
            )
        query.append((name, value))
    return query + ([("q", search)] if search is not None else [])


def _after(newest: str | None) -> Query:
    """What came after the newest one that was seen, the oldest first."""
    place = [("after", newest)] if newest else []
    return [*place, ("order", "asc"), ("limit", str(_PAGE))]


def _get(client: "OpenAI", path: str, query: Query) -> dict[str, Any]:
    from urllib.parse import urlencode

    target = f"{path}?{urlencode(query)}" if query else path
    return cast("dict[str, Any]", client.get(target, cast_to=object))
