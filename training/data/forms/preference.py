"""Rows of OpenAI's preference form (for DPO): an input, a better output and a worse one."""

from typing import Any, Final

from training.data.forms.chat import check_parallel
from training.data.forms.conversation import Conversation, message_list
from training.data.forms.tools import check_tools, tool_names
from training.data.forms.values import Say, seen, unknown_keys

__all__ = ["OUTPUTS", "check_preference"]

OUTPUTS: Final = ("preferred_output", "non_preferred_output")
_KEYS: Final = ("input", *OUTPUTS)
_INPUT_KEYS: Final = ("messages", "tools", "parallel_tool_calls")


def check_preference(record: dict[str, Any], say: Say) -> None:
    """Report every problem of a preference row."""
    unknown_keys(record, _KEYS, "", say)
    conversation = _check_input(record.get("input"), say)
    for name in OUTPUTS:
        messages = message_list(record.get(name), name, say)
        conversation.fork().check(messages, name)
        _check_roles(messages, name, say)
    preferred, other = (record.get(name) for name in OUTPUTS)
    if preferred and preferred == other:
        say(OUTPUTS[1], "is the same as `preferred_output`: there is nothing to prefer.")


def _check_input(given: Any, say: Say) -> Conversation:
    if not isinstance(given, dict):
        what = "is missing" if given is None else f"is {seen(given)}"
        say("input", f"{what}; it must be an object with `messages`.")
        return Conversation(say, tools=None, parallel=True, weighted=False)
    unknown_keys(given, _INPUT_KEYS, "input", say)
    tools = given.get("tools")
    check_tools(tools, "input.tools", say)
    parallel = check_parallel(given, "input.", say)
    conversation = Conversation(say, tools=tool_names(tools), parallel=parallel, weighted=False)
    messages = message_list(given.get("messages"), "input.messages", say)
    conversation.check(messages, "input.messages")
    if messages and isinstance(messages[-1], dict) and messages[-1].get("role") == "assistant":
        last = f"input.messages[{len(messages) - 1}]"
        say(last, "is the assistant's; the input must end with what the outputs answer.")
    return conversation


def _check_roles(messages: list[Any], at: str, say: Say) -> None:
    roles = [message.get("role") if isinstance(message, dict) else None for message in messages]
    for i, role in enumerate(roles):
        if role in ("system", "developer", "user"):
            say(f"{at}[{i}].role", f"is {seen(role)}; an output is the assistant's and its tools'.")
    if roles and roles[-1] == "tool":
        say(f"{at}[{len(roles) - 1}]", "is the last message; that must be the assistant's.")
