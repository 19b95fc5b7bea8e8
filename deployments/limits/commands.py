"""What `everloop usage` does, over HTTP."""

from typing import Any, Literal

from rich.console import Console

from cluster.client import connected
from cluster.tables import plain_table, show_table
from cluster.terminal import print_json

__all__ = ["usage"]


def usage(
    months: int,
    key: str | None,
    by: Literal["key", "model"],
    *,
    base_url: str | None,
    as_json: bool,
) -> None:
    """Show what the project used, each month by key or by model."""
    query = {"months": str(months), **({"key_id": key} if key is not None else {})}
    with connected(base_url) as client:
        found: Any = client.get("/usage", cast_to=object, options={"params": query})
    if as_json:
        print_json(found)
        return
    table = plain_table("month", by, "requests", "prompt", "completion", "tokens", "cost")
    for month in found["data"]:
        for name, one in (("all", month), *_parts(month, by)):
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


def _parts(month: dict[str, Any], by: Literal["key", "model"]) -> list[tuple[str, dict[str, Any]]]:
    if by == "key":
        return [(one["key_id"], one) for one in month["keys"]]
    return [(one["model"] or "none", one) for one in month["models"]]
