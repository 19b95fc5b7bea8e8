"""Rows of a conversation to learn from: `messages`, and the tools that it may call."""

from typing import Any, Final

from training.data.forms.conversation import Conversation, message_list
from training.data.forms.tools import check_tools, tool_names
from training.data.forms.values import Say, seen, unknown_keys

__all__ = ["check_chat", "check_parallel"]

_KEYS: Final = ("messages", "tools", "parallel_tool_calls")


def check_chat(record: dict[str, Any], say: Say) -> None:
    """Report every problem of a chat row."""
    unknown_keys(record, _KEYS, "", say)
    tools = record.get("tools")
    check_tools(tools, "tools", say)
    parallel = check_parallel(record, "", say)
    messages = message_list(record.get("messages"), "messages", say)
    Conversation(say, tools=tool_names(tools), parallel=parallel, weighted=True).check(
        messages, "messages"
    )
    if messages:
        _check_trained(messages, say)


def check_parallel(record: dict[str, Any], at: str, say: Say) -> bool:
    """Report a wrong `parallel_tool_calls`; returns whether calls in one message are allowed."""
    parallel = record.get("parallel_tool_calls")
    if parallel is not None and not isinstance(parallel, bool):
        say(f"{at}parallel_tool_calls", f"is {seen(parallel)}; it is true or false.")
    return parallel is not False


def _check_trained(messages: list[Any], say: Say) -> None:
    roles = [message.get("role") if isinstance(message, dict) else None for message in messages]
    if "assistant" not in roles:
        say("messages", "has no message of the assistant: there is no token to train on.")
        return
    if roles[-1] != "assistant":
        say(f"messages[{len(roles) - 1}]", "is the last message; that must be the assistant's.")
    weights = [
        message.get("weight")
        for message, role in zip(messages, roles, strict=True)
        if role == "assistant"
    ]
    if all(weight == 0 and weight is not False for weight in weights):
        say("messages", "gives weight 0 to every answer: there is no token to train on.")
