"""A suite's file: what is read, and how its mistakes are told."""

import json
from pathlib import Path
from typing import Any

import pytest

from deployments.evaluation.suites.errors import SuiteError
from deployments.evaluation.suites.items import items_of_text, schema_of, synthetic_count
from deployments.evaluation.suites.reading import read_suite

SUITE = """\
name: capitals
data:
  - {question: "What is the capital of France?", answer: Paris}
answers:
  messages:
    - {role: user, content: "{{item.question}}"}
graders:
  - {type: string_check, name: right, operation: ilike,
     input: "{{sample.output_text}}", reference: "{{item.answer}}"}
thresholds:
  right: {min_pass_rate: 0.9}
"""


def written(folder: Path, text: str, **files: str) -> Path:
    for name, content in files.items():
        (folder / name.replace("__", ".")).write_text(content, encoding="utf-8")
    path = folder / "suite.yaml"
    path.write_text(text, encoding="utf-8")
    return path


def refused(path: Path) -> str:
    with pytest.raises(SuiteError) as caught:
        read_suite(path)
    return str(caught.value)


def test_defaults_make_the_answers_repeatable(tmp_path: Path) -> None:
    loaded = read_suite(written(tmp_path, SUITE))
    sampling = loaded.suite.answers.sampling
    assert (sampling.temperature, loaded.suite.seed, loaded.suite.repeats) == (0.0, 0, 1)
    assert loaded.rows is not None
    assert [dict(row.item) for row in loaded.rows] == [
        {"question": "What is the capital of France?", "answer": "Paris"}
    ]


def test_data_and_prompt_are_files_beside_the_suite(tmp_path: Path) -> None:
    suite = SUITE.replace(
        'data:\n  - {question: "What is the capital of France?", answer: Paris}', "data: d.csv"
    ).replace('content: "{{item.question}}"', "file: prompt.md")
    path = written(
        tmp_path, suite, d__csv='question,answer\nWhat?,"a, b"\n', prompt__md="Q: {{item.question}}"
    )
    loaded = read_suite(path)
    assert loaded.messages == ({"role": "user", "content": "Q: {{item.question}}"},)
    assert loaded.rows is not None
    assert loaded.rows[0].item == {"question": "What?", "answer": "a, b"}


@pytest.mark.parametrize(
    ("old", "new", "said"),
    [
        ("name: capitals", "nam: capitals", "line 1: nam is no field; allowed: name, description"),
        (
            "min_pass_rate: 0.9",
            "min_pass_rate: 9",
            "line 11: thresholds.right.min_pass_rate = 9: Input should be less than or equal to 1",
        ),
        (
            "min_pass_rate: 0.9",
            "min_rate: 0.9",
            "line 11: thresholds.right.min_rate is no field; allowed: min_mean, max_mean",
        ),
        ("  right: {", "  wrong: {", "line 11: thresholds.wrong names no grader; there are: right"),
        ("type: string_check, ", "", "line 8: graders.0.type is missing"),
        ("role: user", "role: robot", "answers.messages.0.role = 'robot'"),
        (
            "{{item.answer}}",
            "{{item.city}}",
            "graders.0.reference reads item.city, which 1 of 1 items do not have",
        ),
        ("answer: Paris", "answer: 2024-05-01", "line 3: data.0.answer"),
        ('content: "{{item.question}}"', "file: none.md", "none.md': No such file"),
        ("thresholds:", "repeats: 3\nthresholds:", "set answers.sampling.temperature"),
        ("thresholds:", "slices: [lang]\nthresholds:", "slices.0 reads item.lang"),
        ("messages:", "given: answer\n  messages:", "needs either messages, the prompt, or given"),
    ],
)
def test_a_mistake_is_told_with_line_field_and_what_is_allowed(
    tmp_path: Path, old: str, new: str, said: str
) -> None:
    assert old in SUITE
    message = refused(written(tmp_path, SUITE.replace(old, new, 1)))
    assert "suite.yaml" in message
    assert said in message


def test_all_mistakes_are_told_at_once(tmp_path: Path) -> None:
    text = SUITE.replace("role: user", "role: robot").replace("rate: 0.9", "rate: 9")
    message = refused(written(tmp_path, text))
    assert "has 2 problems" in message
    assert "robot" in message
    assert "= 9" in message


def test_mistakes_of_the_data_are_told_by_their_line(tmp_path: Path) -> None:
    suite = SUITE.replace(
        'data:\n  - {question: "What is the capital of France?", answer: Paris}', "data: d.jsonl"
    )
    bad = '{"question": "a", "answer": "b"}\n\nnope\n[1]\n'
    message = refused(written(tmp_path, suite, d__jsonl=bad))
    assert "d.jsonl has 2 problems" in message
    assert "line 3: is no JSON" in message
    assert "line 4: is '[1]'" in message


def test_openai_rows_with_item_and_sample_are_taken_apart() -> None:
    line = json.dumps({"item": {"q": 1}, "sample": {"output_text": "x"}})
    (row,) = items_of_text(line, "d.jsonl")
    assert (row.item, row.sample) == ({"q": 1}, {"output_text": "x"})


def test_a_row_of_a_table_with_other_cells_is_refused() -> None:
    with pytest.raises(SuiteError, match="line 3: has 1 cells; the columns are 2"):
        items_of_text("a,b\n1,2\n3\n", "d.csv", ",")


def test_the_schema_says_types_and_what_all_items_have() -> None:
    schema = schema_of([{"q": "a", "n": 1}, {"q": "b", "n": 1.5, "documents": []}])
    assert schema["required"] == ["n", "q"]
    assert schema["properties"] == {
        "q": {"type": "string"},
        "n": {"type": ["integer", "number"]},
        "documents": {"type": "array"},
    }


def test_synthetic_items_are_counted() -> None:
    items: list[dict[str, Any]] = [
        {"metadata": {"synthetic": True}},
        {"metadata": {"synthetic": "yes"}},
        {"q": "a"},
    ]
    assert synthetic_count(items) == 1
