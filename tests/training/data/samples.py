"""Rows that tests share, and hypothesis strategies of examples."""

import json
from collections.abc import Sequence
from io import BytesIO
from typing import Any

from hypothesis import strategies as st

from training.data.rows import Row
from training.examples import ChatExample, Example, PreferenceExample, TextExample

__all__ = ["WEATHER", "chat", "completions", "examples", "jsonl", "preference", "said"]

WEATHER: dict[str, Any] = {
    "type": "function",
    "function": {"name": "weather", "parameters": {"type": "object", "properties": {}}},
}


def said(role: str, content: Any = "Hello.", **more: Any) -> dict[str, Any]:
    """A message."""
    return {"role": role, "content": content, **more}


def chat(*messages: Any, **more: Any) -> dict[str, Any]:
    """A chat row; without messages, a sound one."""
    return {"messages": list(messages) or [said("user"), said("assistant", "Hi.")], **more}


def preference(**more: Any) -> dict[str, Any]:
    """A sound preference row, but for what is given."""
    row = {
        "input": {"messages": [said("user")]},
        "preferred_output": [said("assistant", "Hi!")],
        "non_preferred_output": [said("assistant", "What?")],
    }
    return row | more


def jsonl(*rows: Any) -> BytesIO:
    """A file; strings and bytes are lines as they are, the rest becomes JSON."""
    lines = []
    for row in rows:
        text = row if isinstance(row, str | bytes) else json.dumps(row, ensure_ascii=False)
        lines.append(text if isinstance(text, bytes) else text.encode())
    return BytesIO(b"\n".join(lines) + b"\n")


def completions(pairs: Sequence[tuple[str, str]]) -> list[Row]:
    """Rows of prompts and completions, from line 1."""
    return [Row(line, TextExample(*pair)) for line, pair in enumerate(pairs, start=1)]


_text = st.text(st.characters(exclude_categories=["Cs"]), max_size=20)
_words = st.text(st.characters(exclude_categories=["Cs"]), min_size=1, max_size=20)
_parts = st.lists(st.fixed_dictionaries({"type": st.just("text"), "text": _text}), min_size=1)
_user = st.fixed_dictionaries(
    {"role": st.just("user"), "content": _text | _parts}, optional={"name": _words}
)
_assistant = st.fixed_dictionaries({"role": st.just("assistant"), "content": _words})
_system = st.fixed_dictionaries({"role": st.just("system"), "content": _text})
_tools = st.sampled_from([(), (WEATHER,)])


@st.composite
def _chats(draw: st.DrawFn) -> ChatExample:
    messages = tuple(draw(st.lists(_system | _user | _assistant, max_size=4)))
    weights = tuple(
        float(draw(st.integers(0, 1))) if message["role"] == "assistant" else 0.0
        for message in messages
    )
    last = draw(_assistant)
    return ChatExample((*messages, last), (*weights, 1.0), draw(_tools))


@st.composite
def _preferences(draw: st.DrawFn) -> PreferenceExample:
    chosen, rejected = draw(st.lists(_assistant, min_size=2, max_size=2, unique_by=str))
    return PreferenceExample((draw(_user),), (chosen,), (rejected,), draw(_tools))


examples: st.SearchStrategy[Example] = (
    _chats() | _preferences() | st.builds(TextExample, _text, _words)
)
