"""What a model is trained on: one frozen record per kind of example.

Messages are in OpenAI's chat form, as plain mappings, because chat templates take them as they are.
"""

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

__all__ = ["ChatExample", "Example", "Message", "PreferenceExample", "TextExample"]

Message = Mapping[str, Any]
"""`role`, `content`, and for some roles `tool_calls`, `tool_call_id`, `name`."""


@dataclass(frozen=True, slots=True)
class ChatExample:
    """A conversation. Loss falls on the assistant messages whose weight is not 0."""

    messages: tuple[Message, ...]
    weights: tuple[float, ...]
    """One per message; 0 for every message that is not the assistant's."""
    tools: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class PreferenceExample:
    """A conversation and two ways to go on, of which the first is better (for DPO)."""

    messages: tuple[Message, ...]
    chosen: tuple[Message, ...]
    rejected: tuple[Message, ...]
    tools: tuple[Mapping[str, Any], ...] = ()


@dataclass(frozen=True, slots=True)
class TextExample:
    """A prompt and how it goes on, without a chat template. Loss falls on the completion."""

    prompt: str
    completion: str


Example = ChatExample | PreferenceExample | TextExample
