"""The held-out set as the gate asks it."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.training.tiny import tiny_chat_folder
from training.errors import DatasetError, GateError
from training.examples import ChatExample, PreferenceExample, TextExample
from training.gate.items import HeldOut, draw_items, expected_tokens, held_out_set
from training.tokens import ExampleTokenizer

ASK = {"role": "user", "content": "1 + 1?"}
SAY = {"role": "assistant", "content": "It is 2."}


def _file(folder: Path, *rows: dict[str, Any]) -> Path:
    path = folder / "held_out.jsonl"
    path.write_text("".join(f"{json.dumps(row)}\n" for row in rows))
    return path


def test_the_last_answer_is_the_reference_and_alone_carries_loss(tmp_path: Path) -> None:
    first = {"role": "assistant", "content": "Hello."}
    found = held_out_set(_file(tmp_path, {"messages": [ASK, first, ASK, SAY]}))
    (item,) = found.items
    assert (item.number, item.reference) == (1, "It is 2.")
    assert isinstance(item.example, ChatExample)
    assert item.example.weights == (0.0, 0.0, 0.0, 1.0)


def test_metadata_goes_with_its_row(tmp_path: Path) -> None:
    path = _file(
        tmp_path,
        {"messages": [ASK, SAY], "metadata": {"team": "cards", "tier": 2}},
        {"messages": [ASK, SAY]},
        {"messages": [ASK, SAY], "metadata": None},
    )
    assert [dict(item.metadata) for item in held_out_set(path).items] == [
        {"team": "cards", "tier": "2"},
        {},
        {},
    ]


def test_metadata_that_is_no_object_is_refused_with_its_line(tmp_path: Path) -> None:
    path = _file(tmp_path, {"messages": [ASK, SAY]}, {"messages": [ASK, SAY], "metadata": "cards"})
    with pytest.raises(DatasetError, match='line 2, metadata: is "cards"; it must be an object'):
        held_out_set(path)


def test_a_file_with_problems_is_refused_with_its_lines(tmp_path: Path) -> None:
    path = _file(tmp_path, {"messages": [ASK, SAY], "metadata": {"a": "b"}}, {"messages": [ASK]})
    with pytest.raises(DatasetError, match=r"held_out\.jsonl has 1 problem:\n  line 2, messages"):
        held_out_set(path)
    with pytest.raises(DatasetError, match="cannot be read"):
        held_out_set(tmp_path / "nothing.jsonl")


def test_other_forms_have_a_reference_too() -> None:
    found = held_out_set(
        [
            TextExample("1 + 1 = ", "2"),
            PreferenceExample((ASK,), (SAY,), ({**SAY, "content": "3"},)),
        ]
    )
    assert [item.reference for item in found.items] == ["2", "It is 2."]


def test_a_row_without_a_text_to_compare_is_left_out() -> None:
    call = {"id": "1", "type": "function", "function": {"name": "add", "arguments": "{}"}}
    calling = {"role": "assistant", "tool_calls": [call]}
    rows = [ChatExample((ASK, calling), (0.0, 1.0)), ChatExample((ASK, SAY), (0.0, 1.0))]
    found = held_out_set(rows)
    assert (len(found.items), found.rows, found.left_out) == (1, 2, 1)
    assert found.items[0].number == 2
    with pytest.raises(GateError, match="no item that ends with a text"):
        held_out_set(rows[:1])


def test_items_are_drawn_by_the_seed_in_their_order() -> None:
    items = [HeldOut(n, TextExample("", "x"), "x") for n in range(100)]
    drawn = [item.number for item in draw_items(items, 10, seed=1)]
    assert drawn == sorted(drawn)
    assert drawn == [item.number for item in draw_items(items, 10, seed=1)]
    assert drawn != [item.number for item in draw_items(items, 10, seed=2)]
    assert draw_items(items, 100, seed=1) == items


def test_an_item_is_tokenised_as_in_training(tmp_path: Path) -> None:
    tokenizer = ExampleTokenizer.load(tiny_chat_folder(tmp_path))
    (item,) = held_out_set([ChatExample((ASK, SAY), (0.0, 1.0))]).items
    prompt, answer = expected_tokens(tokenizer, item)
    assert tokenizer.text_of(answer) == "It is 2.<|im_end|>"
    assert prompt == tokenizer.prompt_ids((ASK,))
    assert tokenizer.text_of(prompt).endswith("1 + 1?<|im_end|>\n<|im_start|>assistant\n")
