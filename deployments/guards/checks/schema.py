"""Answers that must be JSON, and JSON of a schema."""

from collections.abc import Mapping
from typing import Any, Final

from deployments.evaluation.metrics.json_schema import json_fault, schema_validator
from deployments.guards.verdict import Finding, Place, Source

__all__ = ["SchemaCheck", "demanded_schema"]


class SchemaCheck:
    """Whether an answer is what the request demanded. Without a schema it finds nothing."""

    name = "json_schema"
    sources = frozenset(Source)
    needs_whole = True

    def __init__(self, schema: Mapping[str, Any] | bool | None = None) -> None:
        self._schema: Final = schema

    async def find(self, text: str, place: Place) -> Finding:
        """See Check. Raises NotApplicable for what is no schema."""
        del place
        if self._schema is None:
            return Finding()
        fault = json_fault(schema_validator(self._schema), text)
        return Finding() if fault is None else Finding(1.0, (self.name,))

    def undecided(self, text: str) -> int:
        """See Check. Only the whole can be judged; what is held back is bounded elsewhere."""
        return len(text)

    async def warm_up(self) -> None:
        """See Check."""


def demanded_schema(response_format: Any) -> Mapping[str, Any] | bool | None:
    """What OpenAI's `response_format` demands; None where any text will do.

    It is as the client sent it: what is malformed in it is the model's to refuse.
    """
    chosen = response_format if isinstance(response_format, Mapping) else {}
    if chosen.get("type") == "json_object":
        return {"type": "object"}
    if chosen.get("type") == "json_schema":
        named = chosen.get("json_schema")
        schema = named.get("schema") if isinstance(named, Mapping) else None
        return schema if isinstance(schema, Mapping) else True
    return None
