"""A dataset is read once: every fault by line and field, every sound row as an example."""

import gzip
import json
from io import BytesIO
from pathlib import Path
from typing import Any

import pytest

from tests.training.data.samples import WEATHER, chat, jsonl, preference, said
from training.data.problems import WHOLE_FILE, Problem
from training.data.reading import Format, read_dataset, read_examples, scan_dataset
from training.data.records import write_rows
from training.data.rows import Row
from training.errors import DatasetError
from training.examples import ChatExample, PreferenceExample, TextExample

CALL = {"id": "c1", "type": "function", "function": {"name": "weather", "arguments": "{}"}}
CALLING = said("assistant", None, tool_calls=[CALL])


def call(**changes: Any) -> dict[str, Any]:
    function = CALL["function"] | changes.pop("function", {})
    return CALL | {"function": function} | changes


FAULTS: list[tuple[Any, str, str]] = [
    ('{"messages": [}', "", "is not JSON: Expecting value at column 15"),
    (b'{"messages": "\xff"}', "", "is not UTF-8: byte 0xff at position 15"),
    ('{"messages": NaN}', "", "NaN is no number"),
    ('{"messages": "\\ud83d"}', "", "half of a surrogate pair"),
    ("[" * 100_000, "", "is nested too deep"),
    ("[1, 2]", "", "is a list"),
    ("17", "", "is 17; a row is an object"),
    (preference(), "", "is in the preference form; the file's is the chat form, that of line 1"),
    ({"prompt": "a", "completion": "b"}, "", "is in the completion form"),
    (chat(mesages=[]), "mesages", "did you mean `messages`?"),
    (chat(extra=1), "extra", "is an unknown key; allowed are `messages`, `parallel_tool_calls`"),
    ({"messages": []}, "messages", "is empty"),
    ({"messages": "Hello"}, "messages", 'is "Hello"; it must be a list of messages'),
    (chat("Hello", said("assistant")), "messages[0]", 'is "Hello"; a message is an object'),
    (
        chat(said("robot"), said("assistant")),
        "messages[0].role",
        'is "robot"; allowed are `system`',
    ),
    (chat({"content": "x"}, said("assistant")), "messages[0].role", "is null; allowed are"),
    (chat(said("user", text=1), said("assistant")), "messages[0].text", "is an unknown key"),
    (chat(said("user", 7), said("assistant")), "messages[0].content", "is 7; it must be a string"),
    (chat(said("user", []), said("assistant")), "messages[0].content", "is an empty list"),
    (
        chat(said("user", [{"type": "image_url", "image_url": {}}]), said("assistant")),
        "messages[0].content[0].type",
        'is "image_url"; only "text" can be trained on',
    ),
    (
        chat(said("user", [{"type": "text"}]), said("assistant")),
        "messages[0].content[0].text",
        "is null; it must be a string",
    ),
    (chat(said("user", weight=1), said("assistant")), "messages[0].weight", "the assistant's"),
    (chat(said("assistant", weight=0.5)), "messages[0].weight", "is 0.5; a weight is 0 or 1"),
    (chat(said("assistant", weight=True)), "messages[0].weight", "is true; a weight is 0 or 1"),
    (chat(said("assistant", weight=0)), "messages", "gives weight 0 to every answer"),
    (chat(said("user")), "messages", "has no message of the assistant"),
    (chat(said("assistant"), said("user")), "messages[1]", "is the last message"),
    (chat(said("assistant", "")), "messages[0].content", "is empty: there is nothing to learn"),
    (chat(said("assistant", refusal="No.")), "messages[0].refusal", "write it as `content`"),
    (chat(said("assistant", name=5)), "messages[0].name", "is 5; it must be a string"),
    (
        chat(said("tool", tool_call_id="c1"), said("assistant")),
        "messages[0].tool_call_id",
        'is "c1"; the assistant\'s message before it makes no such call',
    ),
    (
        chat(CALLING, said("tool"), said("tool", tool_call_id="c1"), said("assistant")),
        "messages[1].tool_call_id",
        "is null; it names the call it answers",
    ),
    (
        chat(CALLING, *[said("tool", tool_call_id="c1")] * 2, said("assistant")),
        "messages[2].tool_call_id",
        "is answered already",
    ),
    (chat(CALLING, said("assistant")), "messages[1]", 'before the tool call "c1" is answered'),
    (chat(said("assistant", tool_calls=[])), "messages[0].tool_calls", "a list with a call in it"),
    (
        chat(said("assistant", tool_calls=[call(id="")])),
        "messages[0].tool_calls[0].id",
        "a call needs an id",
    ),
    (
        chat(said("assistant", tool_calls=[CALL, CALL])),
        "messages[0].tool_calls[1].id",
        "which a call before it has too",
    ),
    (
        chat(said("assistant", tool_calls=[CALL, call(id="c2")]), parallel_tool_calls=False),
        "messages[0].tool_calls",
        "has 2 calls, but the row's `parallel_tool_calls` is false",
    ),
    (
        chat(said("assistant", tool_calls=[call(type="code")])),
        "messages[0].tool_calls[0].type",
        'is "code"; only "function"',
    ),
    (
        chat(said("assistant", tool_calls=[call(function={"arguments": {}})])),
        "messages[0].tool_calls[0].function.arguments",
        "write the JSON object as a string",
    ),
    (
        chat(said("assistant", tool_calls=[call(function={"arguments": "{"})])),
        "messages[0].tool_calls[0].function.arguments",
        'is "{", which is not JSON',
    ),
    (
        chat(said("assistant", tool_calls=[call(function={"arguments": "[]"})])),
        "messages[0].tool_calls[0].function.arguments",
        "must hold a JSON object",
    ),
    (
        chat(said("assistant", tool_calls=[call(function={"name": "time"})]), tools=[WEATHER]),
        "messages[0].tool_calls[0].function.name",
        'is "time", which the row\'s `tools` do not define',
    ),
    (chat(parallel_tool_calls="no"), "parallel_tool_calls", 'is "no"; it is true or false'),
    (chat(tools={}), "tools", "is an object; it must be a list of tools"),
    (chat(tools=["weather"]), "tools[0]", "must be an object with `type` and `function`"),
    (chat(tools=[WEATHER, WEATHER]), "tools[1].function.name", "which a tool before it has too"),
    (
        chat(tools=[{"type": "function", "function": {"name": "a b"}}]),
        "tools[0].function.name",
        'is "a b"; a name is 1-64 of',
    ),
    (
        chat(tools=[{"type": "function", "function": {"name": "a", "parameters": "none"}}]),
        "tools[0].function.parameters",
        'is "none"; it must be a JSON schema',
    ),
]


def test_every_kind_of_bad_row_is_reported_by_line_and_field_in_one_pass() -> None:
    read = read_dataset(jsonl(chat(), *(row for row, _, _ in FAULTS), chat()))
    by_line = {problem.line: problem for problem in read.problems}
    assert [problem.line for problem in read.problems] == list(range(2, len(FAULTS) + 2))
    for line, (_, field, message) in enumerate(FAULTS, start=2):
        assert by_line[line].field == field, line
        assert message in by_line[line].message, line
    assert [row.line for row in read.rows] == [1, len(FAULTS) + 2]


def test_one_row_tells_all_its_problems() -> None:
    row = chat(said("robot"), said("user", 5, nme="x"), said("assistant", weight=2), tools=3)
    found = [problem.field for problem in read_dataset(jsonl(row)).problems]
    assert found == [
        "tools",
        "messages[0].role",
        "messages[1].nme",
        "messages[1].content",
        "messages[2].weight",
    ]


PREFERENCE_FAULTS: list[tuple[Any, str, str]] = [
    (preference(input=[]), "input", "is a list; it must be an object with `messages`"),
    (preference(input=None), "input", "is missing"),
    (preference(preferred_output=None), "preferred_output", "is missing"),
    (preference(non_preferred_output=[]), "non_preferred_output", "is empty"),
    (preference(score=1), "score", "is an unknown key"),
    (
        preference(input={"messages": [said("assistant")]}),
        "input.messages[0]",
        "must end with what the outputs answer",
    ),
    (
        preference(preferred_output=[said("user"), said("assistant")]),
        "preferred_output[0].role",
        "an output is the assistant's and its tools'",
    ),
    (
        preference(preferred_output=[said("assistant", weight=1)]),
        "preferred_output[0].weight",
        "has no meaning where",
    ),
    (
        preference(preferred_output=[CALLING, said("tool", tool_call_id="c1")]),
        "preferred_output[1]",
        "is the last message",
    ),
    (
        preference(non_preferred_output=[said("assistant", "Hi!")]),
        "non_preferred_output",
        "there is nothing to prefer",
    ),
]


def test_every_kind_of_bad_pair_is_reported() -> None:
    read = read_dataset(jsonl(*(row for row, _, _ in PREFERENCE_FAULTS)))
    assert [(p.line, p.field) for p in read.problems] == [
        (line, field) for line, (_, field, _) in enumerate(PREFERENCE_FAULTS, start=1)
    ]
    for problem, (_, _, message) in zip(read.problems, PREFERENCE_FAULTS, strict=True):
        assert message in problem.message


def test_every_kind_of_bad_completion_is_reported() -> None:
    rows = [{"prompt": "a"}, {"prompt": 1, "completion": "b"}, {"prompt": "a", "completion": ""}]
    rows.append({"prompt": "a", "completion": "b", "label": "c"})
    read = read_dataset(jsonl(*rows))
    assert [(p.line, p.field) for p in read.problems] == [
        (1, "completion"),
        (2, "prompt"),
        (3, "completion"),
        (4, "label"),
    ]


def test_sound_rows_of_each_form_become_examples() -> None:
    tools = chat(
        said("developer", "Be brief."),
        said("user", [{"type": "text", "text": "Rain?"}]),
        CALLING | {"weight": 0},
        said("tool", "no", tool_call_id="c1"),
        said("assistant", "No."),
        tools=[WEATHER],
        parallel_tool_calls=True,
    )
    (example,) = read_dataset(jsonl(tools)).examples()
    assert isinstance(example, ChatExample)
    assert example.weights == (0, 0, 0, 0, 1)
    assert example.tools == (WEATHER,)
    assert [message["role"] for message in example.messages] == [
        "developer",
        "user",
        "assistant",
        "tool",
        "assistant",
    ]
    assert all("weight" not in message for message in example.messages)
    assert example.messages[2]["tool_calls"] == [CALL]

    (pair,) = read_dataset(jsonl(preference())).examples()
    assert isinstance(pair, PreferenceExample)
    assert (pair.chosen[0]["content"], pair.rejected[0]["content"]) == ("Hi!", "What?")

    (text,) = read_dataset(jsonl({"prompt": "", "completion": "b"})).examples()
    assert text == TextExample("", "b")


def test_a_call_may_stay_unanswered_at_the_end() -> None:
    assert read_dataset(jsonl(chat(said("user"), CALLING))).problems == ()


def test_an_outputs_call_is_answered_in_that_output_only() -> None:
    answer = [said("tool", "no", tool_call_id="c1"), said("assistant")]
    row = preference(preferred_output=[CALLING, *answer], non_preferred_output=answer)
    (problem,) = read_dataset(jsonl(row)).problems
    assert problem.field == "non_preferred_output[0].tool_call_id"


def test_byte_order_mark_and_blank_lines_are_tolerated_and_counted() -> None:
    text = "\ufeff" + json.dumps(chat()) + "\r\n\r\n   \n" + json.dumps(chat()) + "\n\n"
    read = read_dataset(BytesIO(text.encode()))
    assert read.problems == ()
    assert [row.line for row in read.rows] == [1, 4]


def test_a_format_that_was_asked_for_holds_from_the_first_row() -> None:
    (problem,) = read_dataset(jsonl(chat()), "completion").problems
    assert problem.line == 1
    assert problem.message.endswith("the file's is the completion form, asked for.")


@pytest.mark.parametrize(
    ("content", "message"),
    [
        (b"", "is empty"),
        (b"  \n\t\n", "is empty"),
        (b"\xef\xbb\xbf\n", "has no row"),
        (gzip.compress(b"{}", mtime=0), "compressed with gzip"),
        (b"PK\x03\x04rest", "a ZIP archive or an Office document"),
        ('{"a": 1}'.encode("utf-16"), "is UTF-16"),
    ],
)
def test_a_file_that_is_no_dataset_is_one_problem(content: bytes, message: str) -> None:
    (problem,) = read_dataset(BytesIO(content)).problems
    assert (problem.line, problem.field) == (WHOLE_FILE, "")
    assert message in problem.message


@pytest.mark.parametrize("content", ['[\n {"messages": []}\n]', '{\n "messages": []\n}'])
def test_one_value_over_many_lines_is_one_problem(content: str) -> None:
    (problem,) = read_dataset(BytesIO(content.encode())).problems
    assert problem == Problem(1, "", "opens a value that goes on below; write one row a line.")


def test_a_misspelt_form_is_both_unknown_and_missing() -> None:
    found = read_dataset(jsonl(chat(), {"mesages": []})).problems
    assert [(p.line, p.field) for p in found] == [(2, "mesages"), (2, "messages")]


def test_a_row_without_a_known_key_says_what_a_row_has() -> None:
    (problem,) = read_dataset(jsonl({"text": "x"})).problems
    assert problem.field == ""
    assert "has the keys `text`; a row has `messages`" in problem.message


def test_problems_are_kept_up_to_a_bound_and_the_rest_counted() -> None:
    read = read_dataset(jsonl(chat(), *["{"] * 30), problems_kept=10)
    assert (len(read.problems), read.more_problems) == (10, 20)
    with pytest.raises(DatasetError, match="has 30 problems") as caught:
        read.examples()
    assert str(caught.value).count("line ") == 10
    assert str(caught.value).endswith("and 20 more")


def test_the_summary_counts_sound_rows_only() -> None:
    summary = read_dataset(jsonl(chat(), "{", chat(said("assistant", "four")))).summary
    assert summary.by_kind == {"chat": 2}
    assert (summary.rows, summary.messages, summary.characters) == (2, 3, 6 + 3 + 4)


def test_rows_come_before_the_file_has_ended() -> None:
    class Endless(BytesIO):
        def readline(self, _size: int | None = -1, /) -> bytes:
            return json.dumps(chat()).encode() + b"\n"

    found = scan_dataset(Endless(json.dumps(chat()).encode()))
    assert [next(found).line for _ in range(1000)] == list(range(1, 1001))


def test_checking_alone_keeps_no_rows() -> None:
    read = read_dataset(jsonl(chat(), chat()), keep_rows=False)
    assert (list(read.rows), read.summary.rows) == ([], 2)


def test_examples_of_a_path_or_an_error_that_names_it(tmp_path: Path) -> None:
    good, bad = tmp_path / "good.jsonl", tmp_path / "bad.jsonl"
    good.write_bytes(jsonl(chat()).getvalue())
    bad.write_bytes(jsonl(chat(), "{").getvalue())
    assert len(read_examples(good)) == 1
    with pytest.raises(DatasetError, match=r"bad\.jsonl has 1 problem:\n  line 2: is not JSON"):
        read_examples(bad)
    with pytest.raises(DatasetError, match=r"none\.jsonl cannot be read: No such file"):
        read_examples(tmp_path / "none.jsonl")


@pytest.mark.parametrize("format", [None, "chat"])
def test_rows_are_what_scanning_gives(format: Format | None) -> None:
    items = list(scan_dataset(jsonl(chat(), "{"), format))
    assert isinstance(items[0], Row)
    assert isinstance(items[1], Problem)


def test_a_line_too_long_to_be_read_at_once_is_a_problem_and_the_next_is_read(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr("training.data.lines.LONGEST", 100)
    fits = json.dumps(chat()).encode().ljust(100)
    read = read_dataset(jsonl(b"x" * 350, fits, b"y" * 101, chat()))
    assert [problem.line for problem in read.problems] == [1, 3]
    assert "longer than 100 bytes" in read.problems[0].message
    assert [row.line for row in read.rows] == [2, 4]
    table = BytesIO(b"prompt,completion\n" + b"z" * 201 + b",a\nq,a\n")
    read = read_dataset(table)
    assert [(problem.line, problem.message) for problem in read.problems] == [
        (2, "is longer than 100 bytes.")
    ]
    assert [row.line for row in read.rows] == [3]


def test_metadata_stays_with_its_row_in_every_form(tmp_path: Path) -> None:
    records: list[dict[str, Any]] = [
        {**chat(said("user", "x"), said("assistant", "y")), "metadata": {"a": "b", "n": 1}},
        chat(said("user", "y"), said("assistant", "z")),
    ]
    path = tmp_path / "rows.jsonl"
    path.write_text("\n".join(map(json.dumps, records)))
    read = read_dataset(path)
    assert [dict(row.metadata) for row in read.rows] == [{"a": "b", "n": 1}, {}]
    again = tmp_path / "again.jsonl"
    with again.open("wb") as stream:
        write_rows(read.rows, stream)
    assert [row.metadata for row in read_dataset(again).rows] == [row.metadata for row in read.rows]


def test_metadata_of_another_kind_is_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    row = {"prompt": "a", "completion": "b"}
    rows = [{**row, "metadata": [1]}, {**row, "metadata": {"a": {"b": 1}}}]
    path.write_text("\n".join(map(json.dumps, rows)))
    found = [(p.line, p.field, p.message) for p in read_dataset(path).problems]
    assert found == [
        (1, "metadata", "is a list; it must be an object."),
        (2, "metadata.a", "is an object; it must be a text, number or truth value."),
    ]
