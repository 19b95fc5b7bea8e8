"""What a person reads of an item: its question and its reference, cut to a page's measure."""

from collections.abc import Mapping
from typing import Any, Final

from deployments.evaluation.comparison.scored import field_text

__all__ = ["cut", "question_text", "reference_text"]

_LONGEST: Final = 2_000
_QUESTIONS: Final = ("question", "query", "prompt", "input", "instruction", "text")
_REFERENCES: Final = ("answer", "reference", "expected", "ideal", "label", "correct_label")


def question_text(item: Mapping[str, Any]) -> str:
    """What was asked: the field that is usually called so, the last message, or the whole item."""
    messages = item.get("messages")
    if isinstance(messages, list):
        asked = [m for m in messages if isinstance(m, Mapping) and m.get("role") == "user"]
        if asked and isinstance(asked[-1].get("content"), str):
            return cut(asked[-1]["content"])
    return _first(item, _QUESTIONS) or cut(", ".join(f"{k}: {v}" for k, v in item.items()))


def reference_text(item: Mapping[str, Any]) -> str:
    """What was hoped for, as the field that is usually called so; empty where there is none."""
    return _first(item, _REFERENCES)


def cut(text: str) -> str:
    """At most 2,000 characters, with an ellipsis."""
    return text if len(text) <= _LONGEST else f"{text[:_LONGEST]}…"


def _first(item: Mapping[str, Any], names: tuple[str, ...]) -> str:
    found = (field_text(item, name) for name in names)
    return cut(next((text for text in found if text), ""))
