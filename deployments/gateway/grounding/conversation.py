"""A chat's messages as grounding sees them: instructions, earlier turns, the question."""

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Final

from deployments.errors import InvalidRequest
from deployments.gateway.grounding.terms import content_terms, tokenize, words

__all__ = ["Conversation", "leans_on_earlier", "read_conversation", "text_of"]

_ELLIPTIC_TERMS: Final = 2
_POINTING: Final = words("it its they them their he she his her this that these those")
_QUERY_CHARACTERS: Final = 4000
_CONTEXT_CHARACTERS: Final = 400


@dataclass(frozen=True, slots=True)
class Conversation:
    """What was said. `turns` are the user's and assistant's messages before the question."""

    instructions: str
    turns: tuple[dict[str, str], ...]
    question: str

    def query(self) -> str:
        """Return what to search for: the question, after the last one where it leans on that.

        «And how much?» or «Who wrote it?» finds nothing by itself.
        """
        earlier = [turn["content"] for turn in self.turns if turn["role"] == "user"]
        if earlier and leans_on_earlier(self.question):
            return f"{earlier[-1][-_CONTEXT_CHARACTERS:]}\n{self.question[:_QUERY_CHARACTERS]}"
        return self.question[:_QUERY_CHARACTERS]


def leans_on_earlier(question: str) -> bool:
    """Whether a question may say by itself too little of what it is about."""
    spoken = {token.text.casefold() for token in tokenize(question[:_QUERY_CHARACTERS])}
    few = len(content_terms(question[:_QUERY_CHARACTERS])) <= _ELLIPTIC_TERMS
    return few or bool(spoken & _POINTING)


def read_conversation(messages: Any, param: str = "messages") -> Conversation:
    """Read chat messages; the last one must be the user's question. Raises InvalidRequest."""
    if not isinstance(messages, Sequence) or isinstance(messages, str) or not messages:
        raise InvalidRequest(f"{param} must be a list of messages.", param=param)
    instructions: list[str] = []
    turns: list[dict[str, str]] = []
    for position, message in enumerate(messages):
        where = f"{param}.{position}"
        role = message.get("role") if isinstance(message, dict) else None
        if role not in {"system", "developer", "user", "assistant"}:
            raise InvalidRequest(
                f"{where}.role is {role!r}; with file_search it is system, developer, user or "
                "assistant.",
                param=f"{where}.role",
            )
        text = text_of(message.get("content"), f"{where}.content")
        if role in {"system", "developer"}:
            instructions.append(text)
        else:
            turns.append({"role": role, "content": text})
    if not turns or turns[-1]["role"] != "user" or not turns[-1]["content"].strip():
        raise InvalidRequest(f"The last of {param} must be the user's question.", param=param)
    question = turns.pop()["content"].strip()
    return Conversation("\n\n".join(filter(None, instructions)), tuple(turns), question)


def text_of(content: Any, param: str) -> str:
    """Return the text of a message's content: a string, or a list of text parts."""
    if content is None:
        return ""
    if isinstance(content, str):
        return content
    if not isinstance(content, list):
        raise InvalidRequest(f"{param} must be a string or a list of parts.", param=param)
    texts = []
    for position, part in enumerate(content):
        kind = part.get("type") if isinstance(part, dict) else None
        if kind not in {"text", "input_text", "output_text"}:
            raise InvalidRequest(
                f"{param}.{position}.type is {kind!r}; with file_search only text is read.",
                param=f"{param}.{position}.type",
            )
        texts.append(str(part.get("text", "")))
    return "".join(texts)
