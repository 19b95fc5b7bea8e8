"""JSON as guards read it, and what masks leave of it."""

import json

import pytest

from deployments.guards.json_text import JsonReader, json_view, masked_json
from deployments.guards.verdict import Span

VALUES = [
    {"a": 'He said "hi" \\ and left.\n\t\u0001', "b": [1, -2.5e3, True, None], "c": {}},
    ["ä€😀", "", '"', "\\", "\\u0041", "C:\\new"],
    "alone",
    12.5,
]


@pytest.mark.parametrize("value", VALUES)
@pytest.mark.parametrize("ascii_only", [True, False])
@pytest.mark.parametrize("size", [1, 2, 5, 1000])
def test_what_is_not_masked_says_the_same(value: object, ascii_only: bool, size: int) -> None:
    text = json.dumps(value, ensure_ascii=ascii_only)
    reader = JsonReader()
    pieces = [reader.feed(text[n : n + size]) for n in range(0, len(text), size)]
    view = "".join([*pieces, reader.finish()])
    assert view == json_view(text)
    assert json.loads(masked_json(view, ())) == value


def test_strings_are_read_without_their_escapes() -> None:
    assert json_view(r'{"k": "a\u00e4\n\ud83d\ude00"}') == '{"k": "aä\n😀"}'


def masked(text: str, found: str, kind: str = "KIND") -> str:
    view = json_view(text)
    start = view.index(found)
    return masked_json(view, [Span(start, start + len(found), kind)])


@pytest.mark.parametrize(
    ("text", "found", "shown"),
    [
        ('{"to": "a@b.example now"}', "a@b.example", '{"to": "<KIND> now"}'),
        ('{"card": 4111, "n": 1}', "4111", '{"card": "<KIND>", "n": 1}'),
        ('{"card": -4111}', "4111", '{"card": "<KIND>"}'),
        ('["project", "falcon"]', 'project", "falcon', '["<KIND>", "<KIND>"]'),
        ('{"secret": 1}', "secret", '{"<KIND>": 1}'),
        (r'{"q": "say \"x\" now"}', "x", r'{"q": "say \"<KIND>\" now"}'),
    ],
)
def test_a_mask_leaves_json(text: str, found: str, shown: str) -> None:
    assert masked(text, found) == shown
    json.loads(shown)


@pytest.mark.parametrize("text", ['{"a": "\\ud800"}', '{"a": "\\x"}', '{"a": "one\ntwo"}', '{"a'])
def test_what_is_no_json_is_read_as_it_can_be(text: str) -> None:
    view = json_view(text)
    view.encode()
    masked_json(view, ()).encode()
