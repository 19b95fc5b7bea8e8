"""CSV becomes rows through a mapping of columns."""

import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from tests.training.data.samples import said
from training.data.columns import Columns
from training.data.reading import read_dataset
from training.examples import ChatExample, TextExample

BANK = Columns(prompt="text", completion="category")


def csv(text: str | bytes) -> BytesIO:
    return BytesIO(text if isinstance(text, bytes) else text.encode())


def test_csv_rows_are_named_by_the_line_on_which_they_begin() -> None:
    content = 'text,category\nOne?,a\n"Two\nlines?",b\n\n"Say ""three""?",c\n'
    read = read_dataset(csv(content), None, BANK)
    assert read.problems == ()
    assert [(row.line, row.example) for row in read.rows] == [
        (2, TextExample("One?", "a")),
        (3, TextExample("Two\nlines?", "b")),
        (6, TextExample('Say "three"?', "c")),
    ]


def test_every_kind_of_bad_csv_row_is_reported() -> None:
    content = (
        b"\xef\xbb\xbftext,category\r\n"
        b"One?,a\r\n"
        b"Two?\r\n"
        b"Three?,\r\n"
        b"Fo\xfcr?,d\r\n"
        b'"Fi"ve?,e\r\n'
        b"Six?,f\r\n"
        b'Seven?,"g\r\n'
    )
    read = read_dataset(csv(content), None, BANK)
    assert [(p.line, p.field) for p in read.problems] == [
        (3, ""),
        (4, "category"),
        (5, ""),
        (6, ""),
        (8, ""),
    ]
    messages = [problem.message for problem in read.problems]
    assert messages[0] == "has 1 cells; the header has 2."
    assert messages[1] == "is empty: there is no token to train on."
    assert messages[2] == "is not UTF-8: byte 0xfc at position 3."
    assert "is a quote left open?" in messages[3]
    assert [row.line for row in read.rows] == [2, 7]


@pytest.mark.parametrize("delimiter", [",", ";", "\t", "|"])
def test_the_delimiter_is_the_one_that_gives_the_wanted_columns(delimiter: str) -> None:
    content = f"id{delimiter}text{delimiter}category\n1{delimiter}a, b; c{delimiter}d\n"
    if delimiter in ",;":
        content = content.replace("a, b; c", '"a, b; c"')
    (row,) = read_dataset(csv(content), None, BANK).rows
    assert row.example == TextExample("a, b; c", "d")


def test_missing_columns_are_named_with_those_that_are_there() -> None:
    (problem,) = read_dataset(csv("question,category\na,b\n"), None, BANK).problems
    assert problem.line == 1
    assert problem.message == "has no column `text`; its columns are `question` and `category`."


def test_usual_names_need_no_mapping() -> None:
    read = read_dataset(csv("prompt,completion\na,b\n"))
    assert read.examples() == [TextExample("a", "b")]
    (problem,) = read_dataset(csv("text,label\na,b\n"), "csv").problems
    assert problem.message.startswith("has the columns `text` and `label`; name the columns")


def test_a_path_that_ends_in_csv_is_a_table(tmp_path: Path) -> None:
    path = tmp_path / "bank.csv"
    path.write_text("prompt,completion\na,b\n")
    assert read_dataset(path).examples() == [TextExample("a", "b")]


def test_a_system_prompt_makes_conversations() -> None:
    columns = Columns(prompt="text", completion="category", system="how")
    read = read_dataset(csv("how,text,category\nBriefly.,a,b\n,c,d\n"), None, columns)
    first, second = read.examples()
    assert isinstance(first, ChatExample)
    assert isinstance(second, ChatExample)
    assert [m["content"] for m in first.messages] == ["Briefly.", "a", "b"]
    assert [m["role"] for m in second.messages] == ["user", "assistant"]
    assert first.weights == (0, 0, 1)


def test_chat_makes_messages_of_prompt_and_completion() -> None:
    columns = Columns(prompt="text", completion="category", chat=True)
    (example,) = read_dataset(csv("text,category\na,b\n"), None, columns).examples()
    assert isinstance(example, ChatExample)
    assert example.messages == (said("user", "a"), said("assistant", "b"))


def test_messages_in_a_cell_are_checked_under_the_columns_name() -> None:
    columns = Columns(messages="talk")
    cells = ["[", "", "null", json.dumps([said("robot"), said("assistant")])]
    cells.append(json.dumps([said("user"), said("assistant")]))
    content = "talk\n" + "".join('"{}"\n'.format(cell.replace('"', '""')) for cell in cells)
    read = read_dataset(csv(content), None, columns)
    assert [(p.line, p.field) for p in read.problems] == [
        (2, "talk"),
        (3, "talk"),
        (4, "talk"),
        (5, "talk[0].role"),
    ]
    assert [row.line for row in read.rows] == [6]


@pytest.mark.parametrize(
    ("given", "message"),
    [
        ({}, "name the columns of `prompt` and `completion`, or of `messages`"),
        ({"prompt": "a"}, "name the columns"),
        ({"prompt": "a", "completion": "a"}, "each column can be named once"),
        ({"prompt": "a", "messages": "m"}, "`messages` excludes"),
        ({"messages": "m", "chat": True}, "`messages` excludes"),
        ({"prompt": "a", "completion": "b", "tools": "t"}, "`tools` goes with `messages`"),
        ({"prompt": "a", "completion": "b", "label": "c"}, "Extra inputs"),
    ],
)
def test_a_mapping_that_makes_no_sense_is_refused(given: dict[str, Any], message: str) -> None:
    with pytest.raises(ValidationError, match=message):
        Columns.model_validate(given)
