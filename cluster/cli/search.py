"""`everloop search`."""

import json
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cluster.client import connected, require_store

__all__ = ["place_of", "run_search"]

_SHOWN_CHARACTERS = 300


def run_search(query: str, store: str, limit: int, base_url: str | None, *, as_json: bool) -> None:
    """Print the passages that the store finds, best first."""
    with connected(base_url) as client:
        store_id = require_store(client, store).id
        page = client.vector_stores.search(store_id, query=query, max_num_results=limit)
        found = [result.to_dict() for result in page.data]
    if as_json:
        print(json.dumps({"query": query, "data": found}, indent=2, ensure_ascii=False))
        return
    console = Console()
    if not found:
        console.print(f"No passage found in {store}.")
        return
    table = Table("score", "source", "passage", box=None, pad_edge=False, show_lines=False)
    for result in found:
        text = " ".join(str(part.get("text", "")) for part in _content(result))
        shown = " ".join(text.split())
        if len(shown) > _SHOWN_CHARACTERS:
            shown = shown[:_SHOWN_CHARACTERS].rsplit(" ", 1)[0] + " …"
        score = f"{float(str(result.get('score', 0))):.3f}"
        table.add_row(score, Text(place_of(result)), Text(shown))
    console.print(table)


def place_of(found: dict[str, Any]) -> str:
    """Say where a passage stands: file, page and section, as far as they are known."""
    attributes = found.get("attributes") or {}
    parts = [str(attributes.get("source") or found.get("filename") or found.get("file_id") or "?")]
    if page := found.get("page"):
        end = found.get("page_end")
        parts.append(f"p. {page}–{end}" if end and end != page else f"p. {page}")
    section = found.get("section")
    if section:
        parts.append(section if isinstance(section, str) else " › ".join(section))
    return ", ".join(parts)


def _content(result: dict[str, Any]) -> list[dict[str, Any]]:
    content = result.get("content")
    return content if isinstance(content, list) else []
