"""How a verdict is demanded of a model, and where it stands in the answer."""

import json
import re
from collections.abc import Sequence
from typing import Any, Final, Literal, NamedTuple

__all__ = ["Found", "Shape", "demand", "find", "most_tokens", "spelling"]

Shape = Literal["choice", "json_schema"]
"""`choice`: vLLM's own grammar of bare labels. `json_schema`: OpenAI's strict structured output."""

_SLACK: Final = {"choice": 4, "json_schema": 64}
"""Tokens beyond the label: the end, or the JSON around it."""
_OPENING: Final = re.compile(r'\s*\{\s*"verdict"\s*:\s*"')


class Found(NamedTuple):
    """A verdict in an answer."""

    label: str
    start: int
    """Offset of its first character."""
    end: str
    """What stands after it: a quotation mark, or nothing."""


def demand(shape: Shape, labels: Sequence[str]) -> dict[str, Any]:
    """The fields of a chat body that let the model say one of `labels` and nothing else."""
    if shape == "choice":
        return {"structured_outputs": {"choice": list(labels)}}
    schema = {
        "type": "object",
        "properties": {"verdict": {"type": "string", "enum": list(labels)}},
        "required": ["verdict"],
        "additionalProperties": False,
    }
    format_ = {"name": "verdict", "strict": True, "schema": schema}
    return {"response_format": {"type": "json_schema", "json_schema": format_}}


def most_tokens(shape: Shape, labels: Sequence[str]) -> int:
    """Tokens that suffice for any of the labels: a token is a byte or more."""
    return max(len(spelling(shape, label).encode()) for label in labels) + _SLACK[shape]


def spelling(shape: Shape, label: str) -> str:
    """How the label stands in an answer."""
    return label if shape == "choice" else json.dumps(label, ensure_ascii=False)[1:-1]


def find(shape: Shape, content: str, labels: Sequence[str]) -> Found | None:
    """The verdict in an answer; None where there is none that is allowed."""
    if shape == "choice":
        label = content.strip()
        start = len(content) - len(content.lstrip())
        return Found(label, start, "") if label in labels else None
    opening = _OPENING.match(content)
    try:
        told = json.loads(content)
    except json.JSONDecodeError:
        return None
    if opening is None or not isinstance(told, dict) or set(told) != {"verdict"}:
        return None
    label = told["verdict"]
    return Found(label, opening.end(), '"') if label in labels else None
