"""OpenAI's messages in the shape that chat templates expect, as the serving engine passes them."""

import json
from collections.abc import Iterable, Mapping
from typing import Any

from training.errors import ExampleError
from training.examples import Message

__all__ = ["template_messages"]


def template_messages(messages: Iterable[Message]) -> list[dict[str, Any]]:
    """Copies with `content` as one string and tool arguments as mappings.

    The engine does the same before it renders a request, so that training sees what serving sends.
    Raises ExampleError for content that is not text and for tool arguments that are not JSON.
    """
    return [_template_message(message) for message in messages]


def _template_message(message: Message) -> dict[str, Any]:
    plain = {key: value for key, value in message.items() if value is not None and key != "weight"}
    plain["content"] = _text(message.get("content"))
    if calls := plain.get("tool_calls"):
        plain["tool_calls"] = [_call(call) for call in calls]
    return plain


def _text(content: Any) -> str:
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if isinstance(content, list | tuple) and all(_is_text_part(part) for part in content):
        return "\n".join(part["text"] for part in content)
    raise ExampleError(
        f"A message's content is {str(content)[:80]!r}; only text can be trained on.",
        fix="Give a string, or a list of parts of type `text`.",
    )


def _is_text_part(part: Any) -> bool:
    return (
        isinstance(part, Mapping) and part.get("type") == "text" and isinstance(part["text"], str)
    )


def _call(call: Mapping[str, Any]) -> dict[str, Any]:
    function = dict(call.get("function", {}))
    arguments = function.get("arguments")
    if isinstance(arguments, str):
        try:
            function["arguments"] = json.loads(arguments) if arguments.strip() else {}
        except ValueError as error:
            raise ExampleError(
                f"The arguments of tool call {function.get('name')!r} are not JSON: {error}.",
                fix="`arguments` is a JSON object written as a string.",
            ) from error
    return {**call, "function": function}
