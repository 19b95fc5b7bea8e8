"""A list of messages in OpenAI's chat form, looked through from first to last.

The rules are those of OpenAI's fine-tuning API (reference: «Chat fine-tuning training example»),
but for content that is not text, which cannot be trained on here.
"""

from typing import Any, Final

from training.data.forms.tools import check_calls
from training.data.forms.values import Say, listed, seen, unknown_keys

__all__ = ["Conversation", "message_list"]

_SPOKEN: Final = frozenset({"role", "content", "name"})
_KEYS: Final = {
    "system": _SPOKEN,
    "developer": _SPOKEN,
    "user": _SPOKEN,
    "assistant": _SPOKEN | {"weight", "tool_calls"},
    "tool": _SPOKEN | {"tool_call_id"},
}
_REPLACED: Final = {
    "function_call": "is the old form; write `tool_calls`.",
    "refusal": "cannot be trained on as such; write it as `content`.",
    "audio": "cannot be trained on; only text can.",
}


class Conversation:
    """Checks messages in order; calls of tools stay open until they are answered.

    `weighted`: whether assistant messages may have a weight.
    """

    def __init__(
        self, say: Say, *, tools: frozenset[str] | None, parallel: bool, weighted: bool
    ) -> None:
        self._say = say
        self._tools = tools
        self._parallel = parallel
        self._weighted = weighted
        self._open: list[str] = []
        self._answered: set[str] = set()

    def fork(self) -> "Conversation":
        """One that goes on from here."""
        other = Conversation(
            self._say, tools=self._tools, parallel=self._parallel, weighted=self._weighted
        )
        other._open, other._answered = list(self._open), set(self._answered)
        return other

    def check(self, messages: list[Any], at: str) -> None:
        """Report every problem of every message."""
        for i, message in enumerate(messages):
            self._check_message(message, f"{at}[{i}]")

    def _check_message(self, message: Any, at: str) -> None:
        say = self._say
        if not isinstance(message, dict):
            say(at, f"is {seen(message)}; a message is an object with `role` and `content`.")
            return
        role = message.get("role")
        keys = _KEYS.get(role) if isinstance(role, str) else None
        if keys is None:
            say(f"{at}.role", f"is {seen(role)}; allowed are {listed(_KEYS)}.")
            return
        if not message.keys() <= keys:
            self._check_keys(message, keys, at)
        calls = message.get("tool_calls") if role == "assistant" else None
        if role == "tool":
            self._check_answer(message, at)
        elif self._open:
            say(at, f"comes before the tool call {seen(self._open[0])} is answered.")
            self._open = []
        if calls is not None:
            self._open = check_calls(
                calls, f"{at}.tool_calls", say, defined=self._tools, parallel=self._parallel
            )
            self._answered = set()
        self._check_content(message, at, may_lack=calls is not None)
        if role == "assistant":
            self._check_weight(message, at, silent=calls is None)
        name = message.get("name")
        if name is not None and not isinstance(name, str):
            say(f"{at}.name", f"is {seen(name)}; it must be a string.")

    def _check_keys(self, message: dict[str, Any], keys: frozenset[str], at: str) -> None:
        for key, value in message.items():
            if key in keys or value is None:
                continue
            if key in _REPLACED:
                self._say(f"{at}.{key}", _REPLACED[key])
            elif key in ("weight", "tool_calls", "tool_call_id"):
                owner = "a tool's" if key == "tool_call_id" else "the assistant's"
                self._say(f"{at}.{key}", f"is for {owner} messages, not for {message['role']}'s.")
            else:
                unknown_keys({key: value}, keys, at, self._say)

    def _check_answer(self, message: dict[str, Any], at: str) -> None:
        identifier = message.get("tool_call_id")
        if not isinstance(identifier, str):
            self._say(f"{at}.tool_call_id", f"is {seen(identifier)}; it names the call it answers.")
        elif identifier in self._open:
            self._open.remove(identifier)
            self._answered.add(identifier)
        elif identifier in self._answered:
            self._say(f"{at}.tool_call_id", f"is {seen(identifier)}, which is answered already.")
        else:
            self._say(
                f"{at}.tool_call_id",
                f"is {seen(identifier)}; the assistant's message before it makes no such call.",
            )

    def _check_content(self, message: dict[str, Any], at: str, *, may_lack: bool) -> None:
        content = message.get("content")
        if isinstance(content, str) or (content is None and may_lack):
            return
        here = f"{at}.content"
        if not isinstance(content, list):
            self._say(here, f"is {seen(content)}; it must be a string or a list of text parts.")
            return
        if not content:
            self._say(here, "is an empty list; give a string or a part of type `text`.")
        for i, part in enumerate(content):
            self._check_part(part, f"{here}[{i}]")

    def _check_part(self, part: Any, at: str) -> None:
        if not isinstance(part, dict):
            self._say(at, f"is {seen(part)}; a part is an object with `type` and `text`.")
        elif part.get("type") != "text":
            self._say(f"{at}.type", f'is {seen(part.get("type"))}; only "text" can be trained on.')
        elif not isinstance(part.get("text"), str):
            self._say(f"{at}.text", f"is {seen(part.get('text'))}; it must be a string.")
        else:
            unknown_keys(part, ("type", "text"), at, self._say)

    def _check_weight(self, message: dict[str, Any], at: str, *, silent: bool) -> None:
        weight = message.get("weight")
        if weight is not None:
            if not self._weighted:
                self._say(
                    f"{at}.weight", "has no meaning where one output is preferred to another."
                )
            elif isinstance(weight, bool) or weight not in (0, 1):
                self._say(f"{at}.weight", f"is {seen(weight)}; a weight is 0 or 1.")
        if silent and weight != 0 and message.get("content") == "":
            self._say(f"{at}.content", "is empty: there is nothing to learn from this message.")


def message_list(messages: Any, at: str, say: Say) -> list[Any]:
    """The messages; a problem and none where there is no list of them."""
    if isinstance(messages, list) and messages:
        return messages
    if messages is None:
        say(at, "is missing.")
    elif messages == []:
        say(at, "is empty.")
    else:
        say(at, f"is {seen(messages)}; it must be a list of messages.")
    return []
