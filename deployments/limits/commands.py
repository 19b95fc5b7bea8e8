"""What `everloop usage` does, over HTTP."""

from typing import Any

from rich.console import Console

from cluster.client import connected
from cluster.tables import plain_table, show_table
from cluster.terminal import print_json

__all__ = ["usage"]


def usage(months: int, key: str | None, *, base_url: str | None, as_json: bool) -> None:
    """Show what the project used."""
    query = {"months": str(months), **({"key_id": key} if key is not None else {})}
    with connected(base_url) as client:
        found: Any = client.get("/usage", cast_to=object, options={"params": query})
    if as_json:
        print_json(found)
        return
    table = plain_table("month", "key", "requests", "prompt", "completion", "tokens", "cost")
    for month in found["data"]:
        for name, one in (("all", month), *((k["key_id"], k) for k in month["keys"])):
            table.add_row(
                month["month"],
                name,
                f"{one['requests']:,}",
                f"{one['prompt_tokens']:,}",
                f"{one['completion_tokens']:,}",
                f"{one['total_tokens']:,}",
                f"{one['cost']:.4f}",
            )
    console = Console()
    if found["data"]:
        show_table(console, table)
    else:
        console.print("Nothing was used.", highlight=False)
