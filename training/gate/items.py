"""The held-out set as the gate asks it: a conversation, the answer hoped for, and its tokens."""

import io
import json
import random
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, Final, NamedTuple

from training.data.lines import json_lines
from training.data.problems import Problem
from training.data.reading import read_dataset
from training.errors import GateError
from training.examples import ChatExample, Example, PreferenceExample, TextExample
from training.tokens import ExampleTokenizer

__all__ = ["Expected", "HeldOut", "HeldOutSet", "draw_items", "expected_tokens", "held_out_set"]

_METADATA: Final = "metadata"


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
        stream, metadata = _without_metadata(data)
        rows = read_dataset(stream if stream is not None else data)
        if rows.problems:
            rows.examples()  # raises, and lists them
        numbered: Iterable[tuple[int, Example]] = ((row.line, row.example) for row in rows.rows)
    else:
        numbered, metadata = enumerate(data, start=1), {}
    found = [_item(number, example, metadata.get(number, {})) for number, example in numbered]
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


def _item(number: int, example: Example, metadata: Mapping[str, str]) -> HeldOut | None:
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


def _without_metadata(path: Path) -> tuple[io.BytesIO | None, dict[int, dict[str, str]]]:
    """JSON Lines without their `metadata`, which the training's own check refuses, and that.

    None for a file that has none, or that is no sound JSON Lines: its reader says so best.
    """
    try:
        content = path.read_bytes()
    except OSError as error:
        raise GateError(
            f"The held-out set {path} cannot be read: {error.strerror}.", fix="Check the path."
        ) from error
    found: dict[int, dict[str, str]] = {}
    lines = content.split(b"\n")
    if b'"metadata"' not in content or content.lstrip()[:1] != b"{":
        return None, found
    for row in json_lines(io.BytesIO(content)):
        if isinstance(row, Problem):
            return None, {}
        number, record = row
        values = record.pop(_METADATA, None)
        if values is None:
            continue
        if not isinstance(values, dict):
            raise GateError(
                f"{path}, line {number}: metadata is no object.",
                fix='Write `"metadata": {"name": "value"}`.',
            )
        found[number] = {name: _text(value) for name, value in values.items()}
        lines[number - 1] = json.dumps(record, ensure_ascii=False).encode()
    return _Named(b"\n".join(lines), str(path)), found


class _Named(io.BytesIO):
    """Bytes that say which file they are of."""

    def __init__(self, content: bytes, name: str) -> None:
        super().__init__(content)
        self.name = name


def _text(value: Any) -> str:
    return value if isinstance(value, str) else json.dumps(value, ensure_ascii=False)
