"""A client's `prompt` (OpenAI's shape), and the messages that a prompt version makes of a request.

`{"id": "greeting", "version": "production", "variables": {"city": "Bern"}}`: `version` is a number,
a label or a digest, by default the label `production`.
"""

from dataclasses import dataclass, field
from typing import Any

__all__ = ["PromptUse", "read_prompt_use"]


@dataclass(frozen=True, slots=True)
class PromptUse:
    """What a client says of the prompt it wants."""

    reference: str
    """`name@version`."""
    variables: dict[str, Any] = field(default_factory=dict)


def read_prompt_use(body: dict[str, Any]) -> PromptUse | None:
    """Read `body["prompt"]`. Raises InvalidRequest that names the field."""
    if body.get("prompt") is None:
        return None
    raise NotImplementedError
