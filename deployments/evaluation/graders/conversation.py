"""The messages of OpenAI's model graders, rendered for a case."""

import hashlib
import json
from collections.abc import Mapping, Sequence
from typing import Any, Final

from deployments.errors import InvalidRequest
from deployments.evaluation.cases import Case
from deployments.evaluation.graders.judged import Render

__all__ = ["Conversation"]

_ROLES: Final = {"system": "system", "developer": "system", "user": "user"} | {
    "assistant": "assistant"
}
_TEXTS: Final = frozenset({"input_text", "output_text", "text"})
MOST_MESSAGES: Final = 100


class Conversation:
    """Messages with templates, and the last words that ask for the verdict."""

    def __init__(
        self, messages: Sequence[Mapping[str, Any]], closing: str, closing_version: str
    ) -> None:
        """Raises InvalidRequest for messages that are no text."""
        if not 1 <= len(messages) <= MOST_MESSAGES:
            raise _invalid(
                "input", f"has {len(messages)} messages; 1 to {MOST_MESSAGES} are allowed"
            )
        self._messages = [_message(number, one) for number, one in enumerate(messages)]
        self._closing = closing
        digest = hashlib.sha256(json.dumps(self._messages).encode()).hexdigest()[:12]
        self.version: Final = f"input@{digest}+{closing_version}"
        """Names the templates and the closing words."""

    def render(self, render: Render, case: Case) -> list[dict[str, str]]:
        """The chat messages. The closing words end the last message, where that is the user's."""
        said = [{"role": role, "content": render(text, case)} for role, text in self._messages]
        if said[-1]["role"] == "user":
            last = said[-1]["content"].rstrip()
            said[-1]["content"] = f"{last}\n\n{self._closing}"
        else:
            said.append({"role": "user", "content": self._closing})
        return said


def _message(number: int, message: Mapping[str, Any]) -> tuple[str, str]:
    role = message.get("role")
    if role not in _ROLES:
        raise _invalid(f"input.{number}.role", f"is {role!r}; allowed: {', '.join(_ROLES)}")
    return _ROLES[role], _text(f"input.{number}.content", message.get("content"))


def _text(field: str, content: Any) -> str:
    if isinstance(content, str):
        return content
    if isinstance(content, list):
        return "\n".join(_text(f"{field}.{place}", part) for place, part in enumerate(content))
    if isinstance(content, Mapping) and content.get("type") in _TEXTS:
        text = content.get("text")
        if isinstance(text, str):
            return text
    raise _invalid(field, "must be text, or parts of type input_text or output_text")


def _invalid(field: str, problem: str) -> InvalidRequest:
    return InvalidRequest(f"{field} {problem}.", param=field, code="invalid_value")
