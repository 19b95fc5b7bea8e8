"""What JSON values say in a document's words, taken out of them. Pure."""

from collections.abc import Mapping, Sequence
from typing import Any, Final

__all__ = ["MARK", "blotted", "without_document"]

MARK: Final = "[deleted]"
"""Stands where a deleted document's words stood."""
_LEAST: Final = 24
"""Characters of a text that is looked for in prompts: a shorter one may be anybody's words."""


def without_document(value: Any, file_id: str, store_id: str) -> tuple[Any, list[str]]:
    """`value` without what it quotes of a file in a store, and the texts that were taken out.

    Passages and citations, which name their file, lose text, section, attributes and file name, and
    keep ids and numbers. Their texts are then blotted out wherever else they stand, as in the
    prompt that a model saw.
    """
    texts: list[str] = []
    cleared = _cleared(value, {"file_id": file_id, "vector_store_id": store_id}, texts)
    return blotted(cleared, texts), texts


def blotted(value: Any, texts: Sequence[str]) -> Any:
    """`value` with the mark in place of `texts`, in all of its strings."""
    wanted = sorted({text for text in texts if len(text) >= _LEAST}, key=len, reverse=True)
    return _blotted(value, wanted) if wanted else value


def _blotted(value: Any, texts: Sequence[str]) -> Any:
    if isinstance(value, str):
        for text in texts:
            value = value.replace(text, MARK)
        return value
    if isinstance(value, Mapping):
        return {key: _blotted(item, texts) for key, item in value.items()}
    if isinstance(value, list):
        return [_blotted(item, texts) for item in value]
    return value


def _cleared(value: Any, place: Mapping[str, str], texts: list[str]) -> Any:
    if isinstance(value, list):
        return [_cleared(item, place, texts) for item in value]
    if not isinstance(value, Mapping):
        return value
    if value.get("file_id") != place["file_id"] or any(
        value.get(name, wanted) != wanted for name, wanted in place.items()
    ):
        return {key: _cleared(item, place, texts) for key, item in value.items()}
    texts += [value[name] for name in ("text", "quote") if isinstance(value.get(name), str)]
    return {key: _EMPTY.get(key, item) for key, item in value.items()}


_EMPTY: Final[Mapping[str, Any]] = {
    "text": MARK,
    "quote": MARK,
    "filename": MARK,
    "section": [],
    "attributes": {},
}
