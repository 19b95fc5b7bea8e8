"""What `everloop alerts` does, over HTTP."""

from typing import Any, Final, cast

from rich.console import Console
from rich.text import Text

from cluster.client import connected
from cluster.tables import plain_table, show_table
from cluster.terminal import print_json, shown_time

__all__ = ["listed", "settle"]

_STYLES: Final = {"open": "red"}


def listed(status: str | None, kind: str | None, *, base_url: str | None, as_json: bool) -> None:
    """List the newest alerts."""
    wanted = {"status": status, "kind": kind}
    query = {"limit": "100", **{key: value for key, value in wanted.items() if value is not None}}
    with connected(base_url) as client:
        found: Any = client.get("/alerts", cast_to=object, options={"params": query})
    if as_json:
        print_json(found)
        return
    table = plain_table("alert", "kind", "status", "raised", "what", "told")
    for one in found["data"]:
        told = sum(delivery["delivered_at"] is not None for delivery in one["deliveries"])
        table.add_row(
            one["id"],
            one["kind"],
            Text(one["status"], style=_STYLES.get(one["status"], "")),
            shown_time(one["created_at"]),
            Text(". ".join(filter(None, (one["title"], one["body"].get("summary"))))),
            f"{told} of {len(one['deliveries'])}",
        )
    console = Console()
    if found["data"]:
        show_table(console, table)
    else:
        console.print("No alert.", highlight=False)


def settle(alert_id: str, action: str, *, base_url: str | None, as_json: bool) -> None:
    """Acknowledge or resolve one."""
    with connected(base_url) as client:
        made = client.post(f"/alerts/{alert_id}/{action}", cast_to=object)
    found = cast("dict[str, Any]", made)
    if as_json:
        print_json(found)
    else:
        print(f"{found['id']} is {found['status']}.")
