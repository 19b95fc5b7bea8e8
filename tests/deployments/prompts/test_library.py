"""Prompts in files."""

from pathlib import Path

import pytest

from deployments.prompts import PROMPTS, PromptError, PromptLibrary

FILE = """
name: greeting
description: Says hello.
variables: [name]
messages:
  - role: user
    content: Hello {{ name }}!
"""


def _library(folder: Path, text: str, name: str = "greeting") -> PromptLibrary:
    (folder / f"{name}.yaml").write_text(text)
    return PromptLibrary([folder])


def test_a_prompt_renders_its_messages(tmp_path: Path) -> None:
    prompt = _library(tmp_path, FILE).get("greeting")
    assert prompt.render(name="Ada") == [{"role": "user", "content": "Hello Ada!"}]


def test_the_version_is_the_name_and_the_hash_of_the_content(tmp_path: Path) -> None:
    first = _library(tmp_path, FILE).get("greeting").version
    again = _library(tmp_path, FILE).get("greeting").version
    changed = _library(tmp_path, FILE.replace("!", "?")).get("greeting").version
    assert first == again != changed
    assert first.startswith("greeting@")


def test_a_missing_variable_is_named(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="name missing"):
        _library(tmp_path, FILE).get("greeting").render()


def test_an_unknown_variable_is_named(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="place unknown"):
        _library(tmp_path, FILE).get("greeting").render(name="Ada", place="here")


def test_a_variable_that_is_not_declared_is_found_at_load(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="uses other without declaring"):
        _library(tmp_path, FILE.replace("{{ name }}", "{{ other }}")).get("greeting")


@pytest.mark.parametrize(
    "attack",
    ["{{ name.__class__.__mro__ }}", "{{ ''.__class__ }}", "{% set x = name.append(1) %}"],
)
def test_the_sandbox_holds(tmp_path: Path, attack: str) -> None:
    with pytest.raises(PromptError, match=r"messages\.0\.content: .* template error"):
        _library(tmp_path, FILE.replace("{{ name }}", attack)).get("greeting")


def test_a_value_that_looks_like_a_template_stays_text(tmp_path: Path) -> None:
    prompt = _library(tmp_path, FILE).get("greeting")
    assert prompt.render(name="{{ 7 * 7 }}")[0]["content"] == "Hello {{ 7 * 7 }}!"


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (FILE + "color: red", "color"),
        (FILE.replace("user", "robot"), "role"),
        ("name: [", "not YAML"),
        (FILE.replace("{{ name }}", "{{ name"), "template error"),
        (FILE.replace("name: greeting", "name: farewell"), "calls itself"),
    ],
)
def test_a_malformed_file_says_what_is_wrong(tmp_path: Path, text: str, said: str) -> None:
    with pytest.raises(PromptError, match=said):
        _library(tmp_path, text).get("greeting")


def test_an_unknown_prompt_lists_those_there_are(tmp_path: Path) -> None:
    with pytest.raises(PromptError, match="greeting"):
        _library(tmp_path, FILE).get("nothing")


def test_a_later_folder_hides_an_earlier_one(tmp_path: Path) -> None:
    (tmp_path / "grounded_answer.yaml").write_text(FILE.replace("greeting", "grounded_answer"))
    assert PromptLibrary([PROMPTS, tmp_path]).get("grounded_answer").variables == ("name",)


@pytest.mark.parametrize("name", PromptLibrary().names())
def test_every_grounding_prompt_ends_with_the_question(name: str) -> None:
    prompt = PromptLibrary().get(name)
    values = {
        "passages": [{"number": 1, "text": "Water boils at 100 °C.", "source": "physics.pdf"}],
        "highlights": ["Water boils at 100 °C."],
        "question": "When does water boil?",
        "instructions": "Answer in one word.",
    }
    messages = prompt.render(**{name: values[name] for name in prompt.variables})
    assert messages[0]["role"] == "system"
    assert "Answer in one word." in messages[0]["content"]
    last = messages[-1]["content"]
    assert last.index("100 °C") < last.index("When does water boil?")
    assert prompt.refusal
