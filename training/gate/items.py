"""The held-out set as the gate asks it: a conversation, the answer hoped for, and its tokens."""

import json
import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from training.data.reading import read_rows
from training.data.rows import Row
from training.errors import GateError
from training.examples import ChatExample, Example, PreferenceExample, TextExample
from training.tokens import ExampleTokenizer

__all__ = ["Expected", "HeldOut", "HeldOutSet", "draw_items", "expected_tokens", "held_out_set"]


@dataclass(frozen=True, slots=True)
class HeldOut:
    """One item. Of its example only the last answer carries loss."""

    number: int
    """From 1: its line in the file, or its place in the sequence."""
    example: ChatExample | TextExample
    reference: str
    metadata: Mapping[str, str] = field(default_factory=dict)


class HeldOutSet(NamedTuple):
    """The rows of a file that can be asked."""

    items: tuple[HeldOut, ...]
    rows: int
    left_out: int
    """Rows whose last message is no text of the assistant's."""


class Expected(NamedTuple):
    """An item as the training tokenised it."""

    prompt: tuple[int, ...]
    answer: tuple[int, ...]
    """With the token that ends the turn."""


def held_out_set(data: Path | Sequence[Example]) -> HeldOutSet:
    """Read a file as the training does, or take examples. The last answer is the reference.

    A row of JSON Lines may carry `metadata`, an object of texts, numbers and truth values. Raises
    DatasetError for a file with problems, GateError where nothing can be asked.
    """
    if isinstance(data, Path):
        rows: Sequence[Row] = read_rows(data)
    else:
        rows = [Row(number, example) for number, example in enumerate(data, start=1)]
    found = [_item(row) for row in rows]
    items = tuple(item for item in found if item is not None)
    if not items:
        raise GateError(
            "The held-out set has no item that ends with a text of the assistant's.",
            fix="Give conversations whose last message is the answer hoped for.",
        )
    return HeldOutSet(items, len(found), len(found) - len(items))


def draw_items(items: Sequence[HeldOut], most: int, seed: int) -> list[HeldOut]:
    """At most `most` of the items, drawn by `seed`, in their order."""
    if len(items) <= most:
        return list(items)
    places = random.Random(seed).sample(range(len(items)), most)  # noqa: S311 - no secret
    return [items[place] for place in sorted(places)]


def expected_tokens(tokenizer: ExampleTokenizer, item: HeldOut) -> Expected:
    """The item's tokens. Raises ExampleError where the chat template refuses it."""
    (document,) = tokenizer.samples(item.example)[-1]
    places = [place for place, weight in enumerate(document.loss) if weight]
    start, end = places[0], places[-1] + 1
    return Expected(document.input_ids[:start], document.input_ids[start:end])


def _item(row: Row) -> HeldOut | None:
    number, example = row.line, row.example
    metadata = {name: _text(value) for name, value in row.metadata.items()}
    if isinstance(example, TextExample):
        return HeldOut(number, example, example.completion, metadata)
    if isinstance(example, PreferenceExample):
        messages, tools = (*example.messages, *example.chosen), example.tools
    else:
        messages, tools = example.messages, example.tools
    last = messages[-1]
    reference = last.get("content")
    if isinstance(reference, list):
        reference = "\n".join(part["text"] for part in reference)
    if last["role"] != "assistant" or last.get("tool_calls") or not (reference or "").strip():
        return None
    weights = (0.0,) * (len(messages) - 1) + (1.0,)
    return HeldOut(number, ChatExample(tuple(messages), weights, tools), str(reference), metadata)


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
