"""`everloop config`."""

import json
from typing import Any

from rich.console import Console
from rich.table import Table
from rich.text import Text

from cluster.masking import shown
from cluster.settings import Settings, SettingsSource, resolve_settings

__all__ = ["Resolved", "resolved_settings", "run_config"]

Resolved = tuple[str, Any, str]
"""Dotted key, value with secrets masked, where it came from."""


def run_config(*, as_json: bool) -> None:
    """Print each setting, its value and its source."""
    rows = resolved_settings(*resolve_settings())
    if as_json:
        print(json.dumps({k: {"value": v, "source": s} for k, v, s in rows}, indent=2))
        return
    table = Table("setting", "value", "from", box=None, pad_edge=False)
    for key, value, source in rows:
        style = "dim" if source == "default" else "bold"
        table.add_row(Text(key), Text(json.dumps(value, ensure_ascii=False)), source, style=style)
    Console().print(table)


def resolved_settings(settings: Settings, sources: SettingsSource) -> list[Resolved]:
    """Flatten the tree; what looks like a secret is masked."""
    rows: list[Resolved] = []
    for key, value in _leaves(settings.model_dump(mode="json")):
        rows.append((key, shown(key, value), _source_of(key, sources)))
    return rows


def _leaves(tree: Any, prefix: str = "") -> list[tuple[str, Any]]:
    if isinstance(tree, dict) and tree:
        pairs = [(f"{prefix}.{key}" if prefix else str(key), value) for key, value in tree.items()]
    elif isinstance(tree, list) and any(isinstance(item, dict) for item in tree):
        pairs = [(f"{prefix}.{index}", value) for index, value in enumerate(tree)]
    else:
        return [(prefix, tree)]
    return [leaf for key, value in pairs for leaf in _leaves(value, key)]


def _source_of(key: str, sources: SettingsSource) -> str:
    parts = key.split(".")
    for length in range(len(parts), 0, -1):
        if source := sources.get(".".join(parts[:length])):
            # A list is replaced as a whole, but its items may have defaults of their own.
            return source
    return "default"
