"""Prompts from and to LangChain, files and plain templates."""

import json
from typing import Any

import jinja2
import pytest
import yaml
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.prompts import Prompt
from deployments.prompts.body import PromptBody
from deployments.prompts.errors import ExchangeError
from deployments.prompts.exchange.formats import export_prompt, import_prompt
from deployments.prompts.exchange.templates import (
    from_f_string,
    from_jinja,
    from_mustache,
    literal,
    to_f_string,
    to_jinja,
)
from deployments.prompts.sandbox import Template
from tests.deployments.prompts.making import user_says

FIXED = st.text(alphabet=st.sampled_from("{}%# abé\n"), max_size=20)


def _lc(kind: str, **kwargs: Any) -> dict[str, Any]:
    return {"lc": 1, "type": "constructor", "id": ["langchain", "x", kind], "kwargs": kwargs}


def _template(text: str, form: str = "f-string", **more: Any) -> dict[str, Any]:
    return _lc("PromptTemplate", template=text, template_format=form, input_variables=["x"], **more)


def _chat(*messages: Any, **more: Any) -> str:
    return json.dumps(_lc("ChatPromptTemplate", messages=messages, input_variables=[], **more))


def _rendered(body: PromptBody, **values: Any) -> list[tuple[str, str]]:
    return [(m["role"], m["content"]) for m in Prompt("it", body).render(**values)]


SYSTEM = _lc("SystemMessagePromptTemplate", prompt=_template("You are {role}. {{json}}"))
HUMAN = _lc("HumanMessagePromptTemplate", prompt=[_template("{{x}}", "mustache")])
TURNS = _lc("MessagesPlaceholder", variable_name="history", optional=True)


def test_a_chat_template_of_langchain_is_taken_over() -> None:
    few = [_lc("HumanMessage", content="2+2 {?}"), _lc("AIMessage", content="4")]
    text = _chat(SYSTEM, *few, TURNS, HUMAN, partial_variables={"role": "kind", "history": []})
    read = import_prompt(text)
    assert _rendered(read.body, x="Why?") == [
        ("system", "You are kind. {json}"),
        ("user", "2+2 {?}"),
        ("assistant", "4"),
        ("user", "Why?"),
    ]
    assert read.body.variables["role"].default == "kind"


def test_a_structured_prompt_brings_its_schema() -> None:
    schema = {"type": "object", "properties": {"a": {"type": "string"}}}
    read = import_prompt(json.dumps(_lc("StructuredPrompt", messages=[HUMAN], schema_=schema)))
    assert read.body.output_schema == schema


def test_the_files_of_load_prompt_are_taken_over() -> None:
    prompt = {"_type": "prompt", "template": "Say {x}.", "input_variables": ["x"]}
    few_shot = {
        "_type": "few_shot",
        "prefix": "Opposites.",
        "examples": [{"a": "up", "b": "{down}"}],
        "example_prompt": {"_type": "prompt", "template": "{a}: {b}", "input_variables": []},
        "suffix": "{x}:",
        "input_variables": ["x"],
        "example_separator": "\n",
    }
    assert _rendered(import_prompt(yaml.safe_dump(prompt)).body, x="hi") == [("user", "Say hi.")]
    assert _rendered(import_prompt(json.dumps(few_shot)).body, x="in") == [
        ("user", "Opposites.\nup: {down}\nin:")
    ]


@pytest.mark.parametrize(
    ("text", "said"),
    [
        (_chat(HUMAN, TURNS), "MessagesPlaceholder stands elsewhere"),
        (_chat(TURNS, TURNS, HUMAN), "more than one MessagesPlaceholder"),
        (_chat(_lc("HumanMessagePromptTemplate", prompt=_lc("ImagePromptTemplate"))), "only text"),
        (_chat(_lc("ToolMessage", content="x")), "the class ToolMessage"),
        (_chat(_lc("HumanMessage", content=[{"type": "image"}])), "content that is no text"),
        (_chat(HUMAN, output_parser=_lc("StrOutputParser")), "output_parser"),
        (_chat(HUMAN, colour="red"), "colour of the ChatPromptTemplate"),
        (_chat(HUMAN, partial_variables={"x": {"lc": 1}}), "partial_variables.x is no text"),
        (_chat(_lc("HumanMessagePromptTemplate", prompt=_template("{x.y}"))), "more than a name"),
        (_chat(_lc("HumanMessagePromptTemplate", prompt=_template("{x:>9}"))), "more than a name"),
        (
            _chat(_lc("HumanMessagePromptTemplate", prompt=_template("{{#x}}a{{/x}}", "mustache"))),
            "more than a variable",
        ),
        (
            _chat(_lc("HumanMessagePromptTemplate", prompt=_template("{% macro f() %}", "jinja2"))),
            "makes no prompt|template error",
        ),
        (json.dumps(_lc("RunnableSequence", first={})), "export the prompt in it alone"),
        (json.dumps({"lc": 1, "type": "not_implemented", "id": ["a", "B"]}), "not serialised"),
        (json.dumps({"_type": "prompt", "template_path": "a.txt"}), "points to another file"),
        (json.dumps({"_type": "few_shot", "examples": "a.json"}), "stand elsewhere"),
        (json.dumps({"_type": "loaded"}), "prompt and few_shot"),
    ],
)
def test_what_cannot_be_said_is_refused_with_the_reason(text: str, said: str) -> None:
    with pytest.raises(ExchangeError, match=said):
        import_prompt(text)


BODIES: list[tuple[dict[str, Any], dict[str, Any]]] = [
    (user_says("Hello {{ x }} {{ '{' }}."), {"x": "you"}),
    (
        {
            "messages": [
                {"role": "system", "content": "{% if x %}\n  Be {{ x }}.\n{% endif %}\nEnd {y}"},
                {"role": "assistant", "content": "Ready."},
                {"role": "user", "content": "{{ q | upper }}"},
            ],
            "variables": {"x": {"default": "kind"}, "q": {"max_length": 9}, "n": {"type": "any"}},
            "examples": [{"user": "{a}", "assistant": "{{ b }}"}],
            "stop": ["\n\n"],
            "refusal": "No.",
        },
        {"q": "why", "n": 1},
    ),
    ({"messages": [{"role": "system", "content": "Only {{ x }}"}], "variables": {"x": {}},
      "output_schema": {"type": "object", "properties": {}}}, {"x": "this"}),
]  # fmt: skip


@pytest.mark.parametrize(("said", "values"), BODIES)
@pytest.mark.parametrize("form", ["langchain", "everloop"])
def test_there_and_back_says_the_same(
    said: dict[str, Any], values: dict[str, Any], form: Any
) -> None:
    body = PromptBody.model_validate({"variables": {"x": {}}, **said})
    back = import_prompt(export_prompt("it", "Tells.", body, form)).body
    assert _rendered(back, **values) == _rendered(body, **values)
    assert (back.variables, back.stop, back.refusal, back.output_schema) == (
        body.variables,
        body.stop,
        body.refusal,
        body.output_schema,
    )


def test_a_chain_is_not_exported_to_langchain() -> None:
    body = PromptBody.model_validate(user_says("x", steps=[{"name": "a", "prompt": "p"}]))
    with pytest.raises(ExchangeError, match="it has steps"):
        export_prompt("it", "", body, "langchain")
    assert "steps:" in export_prompt("it", "", body, "everloop")


def test_plain_files_are_one_user_message() -> None:
    for name in ("a.txt", "a.md", "a.j2", ""):
        read = import_prompt("Hello {{ x }}: {y}", filename=name)
        assert _rendered(read.body, x="you") == [("user", "Hello you: {y}")]
    as_text = import_prompt("Hello {{ x }} {% y", "text").body
    assert _rendered(as_text) == [("user", "Hello {{ x }} {% y")]
    assert export_prompt("it", "", read.body, "jinja") == "Hello {{ x }}: {y}"
    with pytest.raises(ExchangeError, match="neither a prompt of Everloop"):
        import_prompt("a: 1", filename="a.yaml")
    bomb = "a: &a [x, x]\nb: &b [*a, *a]\nmessages: [*b, *b]\nname: it"
    with pytest.raises(ExchangeError, match="aliases are not read here"):
        import_prompt(bomb, "everloop")
    with pytest.raises(ExchangeError, match="is malformed: messages"):
        import_prompt("name: a\nmessages: []", filename="a.yaml")


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"messages": [{"role": "system", "content": "x"}]}, "other messages"),
        (user_says("x", stop=["a"]), "it has stop"),
        (user_says("{{ x }}", variables={"x": {"type": "array"}}), "variables x have types"),
    ],
)
def test_a_plain_template_drops_nothing(body: dict[str, Any], said: str) -> None:
    with pytest.raises(ExchangeError, match=said):
        export_prompt("it", "", PromptBody.model_validate(body), "jinja")


@given(st.lists(st.tuples(FIXED, st.booleans()), max_size=6))
@settings(max_examples=150, deadline=None)
def test_format_strings_say_the_same_as_jinja(parts: list[tuple[str, bool]]) -> None:
    template = "".join(
        text.replace("{", "{{").replace("}", "}}") + ("{x}" if variable else "")
        for text, variable in parts
    )
    expected = template.format(x="V")
    made = from_f_string(template)
    assert Template(made).render({"x": "V"}) == expected.removesuffix("\n")
    back = to_f_string(made)
    assert back is not None
    assert back.format(x="V") == expected.removesuffix("\n")


@given(FIXED)
@settings(max_examples=150, deadline=None)
def test_a_literal_renders_to_itself(text: str) -> None:
    assert Template(literal(text)).render({}) == text.removesuffix("\n")


@pytest.mark.parametrize(
    "template",
    [
        "{% for p in x %}\n  {{ p }}\n{% endfor %}\nend",
        "a\n  {% if x %}\n yes\n  {% endif %}\nb {# c #}\nd",
        "{%- if x -%}\n a \n{%- endif %}",
        "{% raw %}\n{{ a }}{% endraw %}\nx",
        "{{ '{%' }} {% if x %}1{% endif %}\n",
    ],
)
def test_jinja_keeps_its_whitespace_both_ways(template: str) -> None:
    plain = jinja2.Template(template)  # the defaults that LangChain renders by
    ours = Template(from_jinja(template))
    assert ours.render({"x": [1, 2]}) == plain.render(x=[1, 2])
    back = jinja2.Template(to_jinja(template))
    assert back.render(x=[1, 2]) == Template(template).render({"x": [1, 2]})


def test_mustache_variables_may_have_three_braces() -> None:
    assert Template(from_mustache("{ {{x}} {{{ x }}}")).render({"x": "<b>"}) == "{ <b> <b>"
