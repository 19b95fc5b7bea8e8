"""What two versions of a prompt say differently."""

import difflib
from collections.abc import Mapping
from typing import Any

from deployments.prompts.body import PromptBody
from deployments.prompts.exchange.formats import export_prompt

__all__ = ["compare"]


def compare(name: str, old: tuple[int, PromptBody], new: tuple[int, PromptBody]) -> dict[str, Any]:
    """The changes by field and place, and the unified diff of both as YAML.

    `changes` are of the form `{"path", "kind": added | removed | changed, "old", "new"}`.
    """
    (first, before), (second, after) = old, new
    unified = difflib.unified_diff(
        export_prompt(name, "", before, "everloop").splitlines(keepends=True),
        export_prompt(name, "", after, "everloop").splitlines(keepends=True),
        f"{name}@{first}",
        f"{name}@{second}",
    )
    return {
        "changes": _changes("", before.to_json(), after.to_json()),
        "unified": "".join(unified),
    }


def _changes(path: str, old: Any, new: Any) -> list[dict[str, Any]]:
    """Walk objects and lists side by side; items of lists by their position."""
    if isinstance(old, Mapping) and isinstance(new, Mapping):
        keys: list[Any] = list(dict.fromkeys([*old, *new]))
        return _walked(path, old, new, keys)
    if isinstance(old, list) and isinstance(new, list):
        places = range(max(len(old), len(new)))
        return _walked(path, dict(enumerate(old)), dict(enumerate(new)), list(places))
    if old == new:
        return []
    return [{"path": path, "kind": "changed", "old": old, "new": new}]


def _walked(
    path: str, old: Mapping[Any, Any], new: Mapping[Any, Any], keys: list[Any]
) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = []
    for key in keys:
        place = f"{path}.{key}" if path else str(key)
        if key not in old:
            found.append({"path": place, "kind": "added", "old": None, "new": new[key]})
        elif key not in new:
            found.append({"path": place, "kind": "removed", "old": old[key], "new": None})
        else:
            found += _changes(place, old[key], new[key])
    return found
