"""Templates: what they reach, what values become, and what they say of a wrong name."""

from typing import Any

import pytest

from deployments.evaluation.cases import Case, Passage, Sample
from deployments.evaluation.graders.templates import Template, TemplateError, filled, names_in

SAMPLE = Sample(
    "Paris.", model="m", output_json={"city": "Paris"}, passages=[Passage("p", "a.pdf")]
)
CASE = Case(
    1,
    {"question": "Capital?", "tags": ["geo", "easy"], "deep": {"a": [{"b": 7}]}, "none": None},
    SAMPLE,
)


@pytest.mark.parametrize(
    ("template", "rendered"),
    [
        ("plain", "plain"),
        ("{{item.question}} {{ sample.output_text }}", "Capital? Paris."),
        ("{{item.tags[1]}}/{{item.tags.0}}", "easy/geo"),
        ("{{item.deep.a[0].b}}", "7"),
        ("{{item.tags}}", '["geo", "easy"]'),
        ("{{item.none}}", "null"),
        ("{{sample.output_json.city}}", "Paris"),
        ("{{sample.passages[0].document}}", "a.pdf"),
        ("{{sample.passages}}", '[{"text": "p", "document": "a.pdf", "cited": false}]'),
        ("{ {item.question} }", "{ {item.question} }"),
    ],
)
def test_names_are_filled_in(template: str, rendered: str) -> None:
    assert Template(template).render(CASE) == rendered


@pytest.mark.parametrize(
    ("template", "says"),
    [
        ("{{item.reply}}", "no item.reply. item has: question, tags"),
        ("{{item.tags[2]}}", "no item.tags[2]. item.tags has: 0 to 1"),
        ("{{item.question.text}}", "no item.question.text"),
        ("{{sample.output_json.town}}", "sample.output_json has: city"),
    ],
)
def test_a_name_that_is_not_there_is_told_with_those_that_are(template: str, says: str) -> None:
    with pytest.raises(TemplateError) as caught:
        Template(template).render(CASE)
    assert says in str(caught.value)


@pytest.mark.parametrize("template", ["{{}}", "{{question}}", "{{item.a b}}", "{{sample.text}}"])
def test_what_can_never_be_filled_in_is_refused_at_once(template: str) -> None:
    with pytest.raises(TemplateError):
        Template(template)


def test_an_item_without_an_answer_has_no_sample() -> None:
    with pytest.raises(TemplateError, match="has no answer"):
        Template("{{sample.output_text}}").render(Case(1, {}))


@pytest.mark.parametrize(
    ("value", "becomes"),
    [
        ("{{item.tags}}", ["geo", "easy"]),
        (" {{item.deep.a[0].b}} ", 7),
        ("{{item.question}}!", "Capital?!"),
        (["{{item.question}}", 3], ["Capital?", 3]),
        ({"type": "{{item.tags[0]}}"}, {"type": "geo"}),
        (None, None),
    ],
)
def test_a_lone_placeholder_gives_the_value_itself(value: Any, becomes: Any) -> None:
    assert filled(value, CASE) == becomes


def test_every_name_of_a_tree_is_found() -> None:
    found = names_in({"input": "{{item.a[0]}} {{sample.output_text}}", "more": ["{{item.b}}"]})
    assert found == [("item", "a", 0), ("sample", "output_text"), ("item", "b")]
