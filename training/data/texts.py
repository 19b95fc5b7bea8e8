"""The words of an example: who says what, whatever its kind."""

import json
import re
import unicodedata
from collections.abc import Callable, Iterable, Mapping
from dataclasses import replace
from typing import Any, Final, NamedTuple

from training.examples import Example, Message, PreferenceExample, TextExample

__all__ = ["Turn", "map_texts", "normalised", "question", "spoken", "turns", "words"]

_INSTRUCTING: Final = frozenset({"system", "developer"})
# Scripts without spaces between words: there each character counts as one.
_WORD: Final = re.compile(
    r"[\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]|[^\W\u3040-\u30ff\u3400-\u9fff\uf900-\ufaff]+"
)


class Turn(NamedTuple):
    """One message, or a prompt (`user`) or a completion (`assistant`)."""

    role: str
    text: str
    """Content, then the calls of tools; parts of a content are lines."""


def turns(example: Example) -> list[Turn]:
    """Every turn in order; of a pair to prefer between, the better output's, then the other's."""
    if isinstance(example, TextExample):
        return [Turn("user", example.prompt), Turn("assistant", example.completion)]
    messages: Iterable[Message] = example.messages
    if isinstance(example, PreferenceExample):
        messages = (*example.messages, *example.chosen, *example.rejected)
    return [Turn(message["role"], _text(message)) for message in messages]


def spoken(example: Example) -> list[Turn]:
    """The turns that are this example's own: not its system prompt, which many share."""
    return [turn for turn in turns(example) if turn.role not in _INSTRUCTING]


def question(example: Example) -> list[Turn]:
    """The spoken turns that the last answer answers; of a pair, those that both outputs do."""
    if isinstance(example, PreferenceExample):
        example = replace(example, chosen=(), rejected=())
        return spoken(example)
    before = spoken(example)
    while before and before.pop().role != "assistant":
        pass
    return before


def normalised(text: str) -> str:
    """Without differences of case, of spacing and of compatible characters (Unicode NFKC)."""
    return " ".join(unicodedata.normalize("NFKC", text).casefold().split())


def words(text: str) -> list[str]:
    """Words of the normal form, without punctuation. A Chinese or Japanese character is a word."""
    return _WORD.findall(normalised(text))


def map_texts(example: Example, change: Callable[[str], str]) -> Example:
    """The example with each text changed: contents, and strings and numbers in tools' arguments.

    A number that `change` changes becomes a string. The same object where nothing changed.
    """
    if isinstance(example, TextExample):
        changed: Example = TextExample(change(example.prompt), change(example.completion))
    elif isinstance(example, PreferenceExample):
        changed = replace(
            example,
            messages=_mapped(example.messages, change),
            chosen=_mapped(example.chosen, change),
            rejected=_mapped(example.rejected, change),
        )
    else:
        changed = replace(example, messages=_mapped(example.messages, change))
    return example if changed == example else changed


def _text(message: Message) -> str:
    content = message.get("content")
    if isinstance(content, list):
        content = "\n".join(part["text"] for part in content)
    calls = message.get("tool_calls")
    if not calls:
        return content or ""
    called = [f"{call['function']['name']} {call['function']['arguments']}" for call in calls]
    return "\n".join(filter(None, (content, *called)))


def _mapped(messages: Iterable[Message], change: Callable[[str], str]) -> tuple[Message, ...]:
    return tuple(_mapped_message(message, change) for message in messages)


def _mapped_message(message: Message, change: Callable[[str], str]) -> Message:
    content: Any = message.get("content")
    if isinstance(content, str):
        content = change(content)
    elif isinstance(content, list):
        content = [{**part, "text": change(part["text"])} for part in content]
    changed = dict(message)
    if content is not None:
        changed["content"] = content
    if calls := message.get("tool_calls"):
        changed["tool_calls"] = [_mapped_call(call, change) for call in calls]
    return changed


def _mapped_call(call: Mapping[str, Any], change: Callable[[str], str]) -> Mapping[str, Any]:
    function = call["function"]
    before = json.loads(function["arguments"])
    after = _mapped_value(before, change)
    if after == before:
        return call
    arguments = json.dumps(after, ensure_ascii=False)
    return {**call, "function": {**function, "arguments": arguments}}


def _mapped_value(value: Any, change: Callable[[str], str]) -> Any:
    if isinstance(value, str):
        return change(value)
    if isinstance(value, dict):
        return {key: _mapped_value(part, change) for key, part in value.items()}
    if isinstance(value, list):
        return [_mapped_value(part, change) for part in value]
    if isinstance(value, int | float) and not isinstance(value, bool):
        changed = change(str(value))
        return value if changed == str(value) else changed
    return value
