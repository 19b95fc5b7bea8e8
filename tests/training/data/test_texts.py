"""Who says what in an example, and its words."""

import json

import pytest

from tests.training.data.samples import chat, jsonl, preference, said
from training.data.reading import read_dataset
from training.data.texts import Turn, map_texts, normalised, question, spoken, turns, words
from training.examples import ChatExample, Example, TextExample

CALL = {
    "id": "c1",
    "type": "function",
    "function": {"name": "mail", "arguments": '{"to": "ann", "copies": 12, "cc": ["bob"]}'},
}


def only(row: object) -> Example:
    (example,) = read_dataset(jsonl(row)).examples()
    return example


TALK = chat(
    said("system", "Be kind."),
    said("user", [{"type": "text", "text": "one"}, {"type": "text", "text": "two"}]),
    said("assistant", None, tool_calls=[CALL]),
    said("tool", "done", tool_call_id="c1"),
    said("assistant", "Sent."),
)


def test_turns_of_each_kind() -> None:
    assert turns(only(TALK)) == [
        Turn("system", "Be kind."),
        Turn("user", "one\ntwo"),
        Turn("assistant", 'mail {"to": "ann", "copies": 12, "cc": ["bob"]}'),
        Turn("tool", "done"),
        Turn("assistant", "Sent."),
    ]
    assert turns(TextExample("a", "b")) == [Turn("user", "a"), Turn("assistant", "b")]
    assert [turn.text for turn in turns(only(preference()))] == ["Hello.", "Hi!", "What?"]


def test_a_system_prompt_is_not_the_examples_own() -> None:
    assert [turn.role for turn in spoken(only(TALK))] == ["user", "assistant", "tool", "assistant"]


def test_the_question_is_what_the_last_answer_follows() -> None:
    assert [turn.role for turn in question(only(TALK))] == ["user", "assistant", "tool"]
    assert question(TextExample("a", "b")) == [Turn("user", "a")]
    assert question(only(preference())) == [Turn("user", "Hello.")]


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("Don't panic: it's 5pm!", ["don", "t", "panic", "it", "s", "5pm"]),
        ("ＦＵＬＬ width ﬁsh", ["full", "width", "fish"]),
        ("水道水 is water", ["水", "道", "水", "is", "water"]),
        ("…!?", []),
    ],
)
def test_words(text: str, expected: list[str]) -> None:
    assert words(text) == expected


def test_the_normal_form_has_no_case_and_single_spaces() -> None:
    assert normalised("  Straße\t\n ﬂow ") == "strasse flow"


def test_mapped_texts_reach_contents_parts_and_arguments() -> None:
    changed = map_texts(only(TALK), lambda text: text.upper().replace("12", "<N>"))
    assert isinstance(changed, ChatExample)
    _, user, calling, tool, answer = changed.messages
    assert [part["text"] for part in user["content"]] == ["ONE", "TWO"]
    assert (tool["content"], answer["content"]) == ("DONE", "SENT.")
    arguments = calling["tool_calls"][0]["function"]["arguments"]
    assert json.loads(arguments) == {"to": "ANN", "copies": "<N>", "cc": ["BOB"]}
    assert changed.weights == (0, 0, 1, 0, 1)


def test_an_example_in_which_nothing_changes_is_itself() -> None:
    for example in (only(TALK), only(preference()), TextExample("a", "b")):
        assert map_texts(example, lambda text: text) is example
