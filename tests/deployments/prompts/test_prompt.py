"""A version's body, its digest, its variables, its messages."""

from typing import Any

import pytest
from pydantic import ValidationError

from deployments.prompts import Prompt, VariableError
from deployments.prompts.body import PromptBody, digest_of
from tests.deployments.prompts.making import user_says


def _prompt(variable: dict[str, Any]) -> Prompt:
    body = user_says("{{ x }}", variables={"x": variable})
    return Prompt("it", PromptBody.model_validate(body))


@pytest.mark.parametrize(
    ("variable", "right", "wrong", "said"),
    [
        ({"type": "string"}, "a", 1, "not of type string"),
        ({"type": "integer"}, 3, True, "not of type integer"),
        ({"type": "integer"}, 3, 3.5, "not of type integer"),
        ({"type": "number"}, 3, "3", "not of type number"),
        ({"type": "boolean"}, False, 0, "not of type boolean"),
        ({"type": "array"}, [1], "ab", "not of type array"),
        ({"type": "object"}, {"a": 1}, [1], "not of type object"),
        ({"type": "string", "enum": ["a", "b"]}, "a", "c", "none of 'a', 'b'"),
        ({"type": "string", "max_length": 2}, "ab", "abc", "3 characters; allowed are 2"),
        ({"type": "array", "max_length": 1}, [1], [1, 2], "2 items; allowed are 1"),
    ],
)
def test_values_are_held_against_their_type(
    variable: dict[str, Any], right: Any, wrong: Any, said: str
) -> None:
    prompt = _prompt(variable)
    assert prompt.render(x=right)[0]["content"] == str(right)
    with pytest.raises(VariableError, match=said) as caught:
        prompt.render(x=wrong)
    assert caught.value.variable == "x"


@pytest.mark.parametrize(
    ("variable", "text"),
    [
        ({"default": "d"}, "d"),
        ({"type": "integer", "default": 0}, "0"),
        ({"required": False}, ""),
        ({"type": "array", "required": False}, "None"),
    ],
)
def test_what_is_absent_has_its_default(variable: dict[str, Any], text: str) -> None:
    assert _prompt(variable).render()[0]["content"] == text


def test_all_that_is_wrong_is_told_at_once() -> None:
    body = user_says("{{ a }}{{ b }}", variables={"a": {}, "b": {}})
    prompt = Prompt("it", PromptBody.model_validate(body))
    with pytest.raises(VariableError, match=r"a missing; b is 1, which .*; c unknown"):
        prompt.render(b=1, c="x")


@pytest.mark.parametrize(
    ("variable", "said"),
    [
        ({"type": "string", "default": 1}, "default has 1, which is not of type string"),
        ({"type": "integer", "enum": ["a"]}, "enum has 'a'"),
        ({"type": "integer", "max_length": 3}, "for strings and arrays"),
    ],
)
def test_a_variable_contradicts_itself_nowhere(variable: dict[str, Any], said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        _prompt(variable)


def test_the_digest_is_of_what_is_said_however_it_is_written() -> None:
    plain = PromptBody.model_validate(user_says("{{ x }}", variables={"x": {}}))
    spelled = PromptBody.model_validate(
        user_says("{{ x }}", variables={"x": {"type": "string", "required": True}}, stop=[])
    )
    other = PromptBody.model_validate(user_says("{{ x }}.", variables={"x": {}}))
    assert digest_of(plain) == digest_of(spelled) != digest_of(other)
    again = PromptBody.model_validate(plain.to_json())
    assert digest_of(again) == digest_of(plain)


def test_examples_stand_after_the_first_system_messages_as_they_are() -> None:
    body = {
        "messages": [
            {"role": "system", "content": "S"},
            {"role": "user", "content": "U"},
            {"role": "assistant", "content": "A"},
        ],
        "examples": [{"user": "{{ one }}", "assistant": "1"}],
    }
    prompt = Prompt("it", PromptBody.model_validate(body))
    assert [m["content"] for m in prompt.render()] == ["S", "{{ one }}", "1", "U", "A"]
    assert prompt.parts({})[1] == [], "the user's is not the last message"


@pytest.mark.parametrize(
    ("steps", "said"),
    [
        ([{"name": "x", "prompt": "p"}], "steps.0.name is 'x', which there is already"),
        (
            [{"name": "a", "prompt": "p", "variables": {"v": "{{ b }}"}}],
            "steps.0.variables.v uses b",
        ),
        ([{"name": f"s{n}", "prompt": "p"} for n in range(9)], "at most 8"),
    ],
)
def test_steps_use_what_came_before_them(steps: Any, said: str) -> None:
    with pytest.raises(ValidationError, match=said):
        PromptBody.model_validate(user_says("{{ x }}", variables={"x": {}}, steps=steps))


def test_a_lone_name_gives_a_step_the_value_itself() -> None:
    steps = [
        {
            "name": "s",
            "prompt": "p",
            "variables": {"whole": "{{ x.rows }}", "text": "{{ x.rows }}!", "fixed": 3},
        }
    ]
    body = user_says("-", variables={"x": {"type": "object"}}, steps=steps)
    prompt = Prompt("it", PromptBody.model_validate(body))
    made = prompt.step_values(prompt.body.steps[0], {"x": {"rows": [1, 2]}})
    assert made == {"whole": [1, 2], "text": "[1, 2]!", "fixed": 3}
