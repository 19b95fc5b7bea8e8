"""What `everloop lineage` does."""

import json
from collections.abc import Sequence
from typing import Any
from urllib.parse import quote, urlencode

from rich.console import Console

from cluster.client import connected
from deployments.lineage.terminal import print_lineage

__all__ = ["show"]


def show(
    thing: str,
    *,
    forward: bool,
    depth: int,
    limit: int,
    types: Sequence[str],
    base_url: str | None,
    as_json: bool,
) -> None:
    """Show the lineage of `thing`; of `types` as a list, otherwise as a tree."""
    asked: dict[str, Any] = {
        "direction": "forward" if forward else "backward",
        "depth": depth,
        "limit": limit,
    }
    if types:
        asked["types"] = ",".join(types)
    with connected(base_url) as client:
        path = f"/lineage/{quote(thing)}?{urlencode(asked)}"
        found: Any = client.get(path, cast_to=object)
    if as_json:
        print(json.dumps(found, indent=2, ensure_ascii=False))
    else:
        print_lineage(Console(), found, as_list=bool(types))
