"""The texts of a chat's messages: who says each, and the same messages with other texts."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Any, Final

from deployments.gateway.grounding.conversation import leans_on_earlier
from deployments.guards.verdict import GuardText, Source

__all__ = ["TOOL_ROLES", "message_texts", "rewritten", "tool_results", "with_results"]

TOOL_ROLES: Final = frozenset({"tool", "function"})
"""Who says what a tool answered."""
_TOLD: Final = frozenset({"system", "developer", "assistant"})
_LEFT_OUT: Final = "[This result was left out by the guards.]"
"""In place of a tool's result: each call must keep one."""


def message_texts(messages: Sequence[Mapping[str, Any]]) -> list[GuardText]:
    """The texts of messages in order, and the arguments of the tool calls that they tell of."""
    asked = next((n for n in reversed(range(len(messages))) if _is_user(messages[n])), None)
    before = "" if asked is None else _leant_on(messages, asked)
    found = []
    for number, message in enumerate(messages):
        source = Source.TOLD if message["role"] in _TOLD else Source.SAID
        more: dict[str, Any] = {"source": source}
        if number == asked:
            more = {"source": Source.ASKED, "before": before}
        found += [GuardText(text, **more) for text in _content_texts(message)]
        found += [GuardText(text, source, is_json=True) for text in _arguments(message)]
    return found


def rewritten(messages: Sequence[dict[str, Any]], texts: Sequence[str]) -> list[dict[str, Any]]:
    """The messages with `texts` in place of those that `message_texts` read, in their order."""
    left = iter(texts)
    return [_with_arguments(_with_content(message, left), left) for message in messages]


def tool_results(messages: Sequence[Mapping[str, Any]]) -> tuple[list[int], list[str]]:
    """What tools answered: the number of the message of each text, and the texts."""
    found = [
        (number, text)
        for number, message in enumerate(messages)
        if message["role"] in TOOL_ROLES
        for text in _content_texts(message)
    ]
    return [number for number, _ in found], [text for _, text in found]


def with_results(
    messages: Sequence[dict[str, Any]], texts: Sequence[str], dropped: frozenset[int]
) -> list[dict[str, Any]]:
    """The messages with `texts` as the tools' results; of those `dropped` a word that they were."""
    left = iter([_LEFT_OUT if n in dropped else text for n, text in enumerate(texts)])
    return [
        _with_content(message, left) if message["role"] in TOOL_ROLES else message
        for message in messages
    ]


def _is_user(message: Mapping[str, Any]) -> bool:
    return message["role"] not in _TOLD and message["role"] not in TOOL_ROLES


def _leant_on(messages: Sequence[Mapping[str, Any]], asked: int) -> str:
    """What the user asked before, where the question leans on it."""
    if not leans_on_earlier("\n".join(_content_texts(messages[asked]))):
        return ""
    earlier = (message for message in reversed(messages[:asked]) if _is_user(message))
    return next(("\n".join(_content_texts(message)) for message in earlier), "")


def _content_texts(message: Mapping[str, Any]) -> list[str]:
    content = message.get("content")
    if isinstance(content, str):
        return [content]
    if isinstance(content, list):
        return [part["text"] for part in content if _is_text(part)]
    return []


def _with_content(message: dict[str, Any], left: Iterator[str]) -> dict[str, Any]:
    content = message.get("content")
    if isinstance(content, str):
        return {**message, "content": next(left)}
    if isinstance(content, list):
        parts = [{**part, "text": next(left)} if _is_text(part) else part for part in content]
        return {**message, "content": parts}
    return message


def _arguments(message: Mapping[str, Any]) -> list[str]:
    """The arguments of the calls that an assistant made, in OpenAI's old form last."""
    called = [function for call in _calls(message) if (function := _function(call)) is not None]
    if (old := _function({"function": message.get("function_call")})) is not None:
        called.append(old)
    return [function["arguments"] for function in called]


def _with_arguments(message: dict[str, Any], left: Iterator[str]) -> dict[str, Any]:
    changed: dict[str, Any] = {}
    if calls := _calls(message):
        changed["tool_calls"] = [
            call
            if (function := _function(call)) is None
            else {**call, "function": {**function, "arguments": next(left)}}
            for call in calls
        ]
    if (old := _function({"function": message.get("function_call")})) is not None:
        changed["function_call"] = {**old, "arguments": next(left)}
    return {**message, **changed} if changed else message


def _calls(message: Mapping[str, Any]) -> list[Any]:
    calls = message.get("tool_calls")
    return calls if isinstance(calls, list) else []


def _function(call: Any) -> dict[str, Any] | None:
    """What a tool call calls; what is malformed in it is the model's to refuse."""
    function = call.get("function") if isinstance(call, dict) else None
    if isinstance(function, dict) and isinstance(function.get("arguments"), str):
        return function
    return None


def _is_text(part: Any) -> bool:
    return isinstance(part, dict) and isinstance(part.get("text"), str)
