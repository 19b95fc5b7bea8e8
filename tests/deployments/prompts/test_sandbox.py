"""Templates that strangers write: what they may say, and what it may cost."""

import time
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from deployments.prompts.errors import PromptError
from deployments.prompts.sandbox import MAX_TEMPLATE, MAX_VALUE, Template

VALUES: dict[str, Any] = {
    "name": "Ada",
    "rows": [{"number": 1, "text": "One"}, {"number": 2, "text": "Two"}],
}
BOMBS = {
    "power": "{{ 9 ** 9 ** 9 }}",
    "times": "{{ 'a' * 1000000000 }}",
    "list times": "{{ [1] * 1000000000 }}",
    "percent": "{{ '%999999999d' % 1 }}",
    "format": "{{ '{:>999999999}'.format(1) }}",
    "center": "{{ 'a' | center(999999999) }}",
    "ljust": "{{ 'a'.ljust(999999999) }}",
    "mapped": "{{ rows | map('center', 999999999) | list }}",
    "indent": "{{ name | indent(999999999) }}",
    "json": "{{ rows | tojson(indent=999999999) }}",
    "range": "{% for i in range(1000000000) %}{% endfor %}",
    "loops": "{% for i in range(9999) %}{% for j in range(9999) %}{% endfor %}{% endfor %}",
    "doubling": "{% set a = 'xxxxxxxxxxxxxxxx' %}" + "{% set a = a ~ a %}" * 40,
    "adding": "{% set a = 'xxxxxxxxxxxxxxxx' %}" + "{% set a = a + a %}" * 40,
    "sharing": "{% set a = ['x'] %}" + "{% set a = [a, a] %}" * 40,
    "squares": "{% set a = 7 %}" + "{% set a = a * a %}" * 40,
    "replace": "{% set a = 'a,' | replace(',', 'aaaaaaaaaa') %}" * 2
    + "{% set a = a | replace('a', a) %}" * 12,
    "join": "{{ range(9999) | join(name ~ name | replace('A', range(9999) | join)) }}",
    "lipsum": "{{ lipsum(100000) }}",
    "namespace": "{% set n = namespace(a=1) %}",
    "macro": "{% macro f() %}{{ f() }}{{ f() }}{% endmacro %}{{ f() }}",
    "recursive": "{% for r in rows recursive %}{{ loop(rows) }}{% endfor %}",
    "parentheses": "{{ " + "(" * 5000 + "1" + ")" * 5000 + " }}",
    "additions": "{{ 1" + "+ 1" * 20000 + " }}",
    "many": "{{ name }}" * 5000,
    "nested": "{% for a in rows %}" * 50 + "{% endfor %}" * 50,
}
INTERNALS = (
    "{{ name.__class__ }}",
    "{{ name['__class__'] }}",
    "{{ name | attr('__class__') }}",
    "{{ rows | map(attribute='__class__') | first }}",
    "{{ self }}",
    "{{ __builtins__ }}",
    "{{ rows.append(1) }}",
    "{% include 'x' %}",
    "{% import 'x' as x %}",
)


@pytest.mark.parametrize("name", BOMBS)
def test_a_bomb_is_refused_quickly(name: str) -> None:
    began = time.process_time()
    with pytest.raises(PromptError):
        Template(BOMBS[name]).render(VALUES)
    assert time.process_time() - began < 3


@pytest.mark.parametrize("template", INTERNALS)
def test_nothing_internal_is_reached(template: str) -> None:
    with pytest.raises(PromptError):
        Template(template).render(VALUES)


@pytest.mark.parametrize(
    ("template", "text"),
    [
        ("Hello {{ name | upper }}!", "Hello ADA!"),
        ("{% for r in rows %}\n{{ loop.index }} of {{ loop.length }}: {{ r.text }}\n{% endfor %}",
         "1 of 2: One\n2 of 2: Two\n"),
        ("{% for r in rows if r.number > 1 %}{{ r['text'] }}{% else %}none{% endfor %}", "Two"),
        ("{{ rows | map(attribute='text') | join(', ') }}", "One, Two"),
        ("{% for k, v in {'a': 1}.items() %}{{ k }}={{ v }}{% endfor %}", "a=1"),
        ("{{ rows[-1].text[:2] }}{{ 2 * 3 }}{{ 'b' if name else 'c' }}", "Tw6b"),
        ("{{ {'q': '<b> é'} | tojson }}", '{"q": "<b> é"}'),
        ("{% set a, b = 1, 2 %}{{ a + b }}{% if x is defined %}x{% endif %}", "3"),
        ("{{ name.split('d')[0] }}{{ x | default('-') }}{{ 7 % 4 }}", "A-3"),
        ("{{ name | replace('A', 'I') }}\n{{ 'a\nb' | indent(2) }}", "Ida\na\n  b"),
    ],
)  # fmt: skip
def test_what_prompts_need_is_there(template: str, text: str) -> None:
    assert Template(template).render(VALUES) == text


def test_a_template_and_a_value_have_a_longest_length() -> None:
    Template("x" * MAX_TEMPLATE)
    with pytest.raises(PromptError, match="65,537 characters"):
        Template("x" * (MAX_TEMPLATE + 1))
    with pytest.raises(PromptError, match="larger than"):
        Template("{{ a }}").render({"a": "x" * (MAX_VALUE + 1)})
    with pytest.raises(PromptError, match="larger than"):
        Template("{{ a }}{{ a }}").render({"a": "x" * (MAX_VALUE // 2 + 1)})


def test_an_error_names_the_line() -> None:
    with pytest.raises(PromptError, match=r"\(line 2\)"):
        Template("one\n{{ two")


@given(st.text(alphabet=st.sampled_from("{}%#'\" \nab"), max_size=40))
@settings(max_examples=200, deadline=None)
def test_any_text_renders_or_is_refused(text: str) -> None:
    try:
        Template(text).render({"a": "A", "b": [1]})
    except PromptError as error:
        assert error.message


@given(st.text(max_size=60))
@settings(max_examples=100, deadline=None)
def test_a_value_is_never_read_as_a_template(text: str) -> None:
    assert Template("{{ a }}").render({"a": "{{ 7 * 7 }}" + text}) == "{{ 7 * 7 }}" + text
