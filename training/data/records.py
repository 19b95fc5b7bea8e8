"""Examples as JSON objects, in the form that they are read from, and back."""

import hashlib
import json
from collections.abc import Iterable, Mapping
from sys import intern
from typing import Any, BinaryIO, Final

from training.data.rows import Row, kind_of
from training.examples import ChatExample, Example, Message, PreferenceExample, TextExample

__all__ = ["digest", "digest_of_all", "dump_example", "example_of", "load_example", "record_of",
           "write_rows"]  # fmt: skip

_TRAINED: Final = 1.0


def example_of(record: Mapping[str, Any]) -> Example:
    """The example of a row in which its form's check found no problem."""
    if "messages" in record:
        messages = tuple(_message(message) for message in record["messages"])
        weights = tuple(_weight(message) for message in record["messages"])
        return ChatExample(messages, weights, tuple(record.get("tools") or ()))
    if "input" in record:
        given = record["input"]
        return PreferenceExample(
            messages=tuple(_message(message) for message in given["messages"]),
            chosen=tuple(_message(message) for message in record["preferred_output"]),
            rejected=tuple(_message(message) for message in record["non_preferred_output"]),
            tools=tuple(given.get("tools") or ()),
        )
    return TextExample(record["prompt"], record["completion"])


def record_of(example: Example) -> dict[str, Any]:
    """The row that `example_of` makes this example of."""
    if isinstance(example, TextExample):
        return {"prompt": example.prompt, "completion": example.completion}
    tools = {"tools": list(example.tools)} if example.tools else {}
    if isinstance(example, ChatExample):
        return {"messages": [_weighted(*pair) for pair in _weights(example)], **tools}
    return {
        "input": {"messages": list(example.messages), **tools},
        "preferred_output": list(example.chosen),
        "non_preferred_output": list(example.rejected),
    }


def dump_example(example: Example) -> str:
    """One line of JSON. Keys stay in their order: templates print tools in it."""
    return json.dumps(record_of(example), ensure_ascii=False, separators=(",", ":"))


def load_example(line: str) -> Example:
    """The example that `dump_example` wrote."""
    return example_of(json.loads(line))


def write_rows(rows: Iterable[Row], stream: BinaryIO) -> int:
    """Write a JSONL file that `training.data.reading` reads; returns how many bytes."""
    return sum(stream.write(f"{_dump_row(row)}\n".encode()) for row in rows)


def _dump_row(row: Row) -> str:
    if not row.metadata:
        return dump_example(row.example)
    record = {**record_of(row.example), "metadata": dict(row.metadata)}
    return json.dumps(record, ensure_ascii=False, separators=(",", ":"))


def digest(example: Example) -> bytes:
    """SHA-256 of the example's kind and content; the order of keys does not matter."""
    record = {"kind": kind_of(example), **record_of(example)}
    return hashlib.sha256(json.dumps(record, sort_keys=True).encode()).digest()


def digest_of_all(digests: Iterable[bytes]) -> str:
    """SHA-256 of a dataset, from the digests of its examples in order, as hexadecimal."""
    whole = hashlib.sha256()
    for part in digests:
        whole.update(part)
    return whole.hexdigest()


def _message(message: Mapping[str, Any]) -> Message:
    """Without its weight, which is kept beside it, and without keys that say nothing."""
    kept = {key: value for key, value in message.items() if value is not None and key != "weight"}
    kept["role"] = intern(kept["role"])
    return kept


def _weight(message: Mapping[str, Any]) -> float:
    if message["role"] != "assistant":
        return 0.0
    weight = message.get("weight")
    return _TRAINED if weight is None else float(weight)


def _weights(example: ChatExample) -> Iterable[tuple[Message, float]]:
    return zip(example.messages, example.weights, strict=True)


def _weighted(message: Message, weight: float) -> Message:
    untold = _TRAINED if message["role"] == "assistant" else 0.0
    return message if weight == untold else {**message, "weight": int(weight)}
