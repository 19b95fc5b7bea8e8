"""Graders that ask no model, as specs build them."""

from collections.abc import Mapping, Sequence
from typing import Any, cast

import pytest

from deployments.evaluation.cases import Case, Sample, Score
from deployments.evaluation.graders.build import build_grader, check_grader
from deployments.evaluation.graders.checks import MetricGrader, met
from deployments.evaluation.graders.specs import SpecError, read_grader
from deployments.evaluation.graders.templates import Template, TemplateError
from deployments.evaluation.metrics.metric import Metric, MetricInput
from deployments.evaluation.toolbox import Toolbox

TOOLS = cast(Toolbox, None)
CASES = [
    Case(1, {"answer": "Paris"}, Sample("It is PARIS.")),
    Case(2, {"answer": "Rome"}, Sample("Rome")),
]


def check(operation: str, name: str = "check") -> dict[str, Any]:
    return {
        "type": "string_check",
        "name": name,
        "input": "{{sample.output_text}}",
        "reference": "{{item.answer}}",
        "operation": operation,
    }


@pytest.mark.parametrize(
    ("operation", "values"),
    [("eq", [0, 1]), ("ne", [1, 0]), ("like", [0, 1]), ("ilike", [1, 1])],
)
async def test_string_check(operation: str, values: list[float]) -> None:
    grader = build_grader(read_grader(check(operation)), TOOLS)
    scores = await grader.grade(CASES)
    assert [score.value for score in scores] == values
    assert [score.passed for score in scores] == [value == 1 for value in values]
    assert (grader.binary, grader.metric) == (True, "string_check")


async def test_multi_combines_the_values_of_others() -> None:
    spec = {
        "type": "multi",
        "name": "both",
        "graders": {"same": check("eq"), "holds": check("ilike")},
        "calculate_output": "(same + holds) / 2",
        "pass_threshold": 0.75,
    }
    scores = await build_grader(read_grader(spec), TOOLS).grade(CASES)
    assert [(score.value, score.passed) for score in scores] == [(0.5, False), (1.0, True)]
    assert scores[0].detail["values"] == {"same": 0.0, "holds": 1.0}


async def test_a_part_without_a_value_leaves_the_whole_without_one() -> None:
    spec = {
        "type": "multi",
        "name": "both",
        "graders": [check("eq", "a"), check("eq", "b")],
        "calculate_output": "1 / (a - b)",
    }
    [score, _] = await build_grader(read_grader(spec), TOOLS).grade(CASES)
    assert (score.value, score.passed) == (None, None)
    assert "division" in score.detail["reason"]


async def _length(
    inputs: Sequence[MetricInput], options: Mapping[str, Any], tools: Toolbox
) -> list[Score]:
    return [Score(len(one.prediction) / one.reference, detail=dict(options)) for one in inputs]


async def test_a_metric_gets_the_values_that_templates_name() -> None:
    metric = Metric(
        "length", "", _length, higher_is_better=False, summarise=lambda s: {"n": len(s)}
    )
    text = Template("{{sample.output_text}}")
    grader = MetricGrader("short", metric, text, "{{item.most}}", {"o": 1}, 1.0, TOOLS)
    cases = [Case(1, {"most": 4}, Sample("four")), Case(2, {"most": 2}, Sample("four"))]
    scores = await grader.grade(cases)
    assert [(score.value, score.passed) for score in scores] == [(1.0, True), (2.0, False)]
    assert (scores[0].detail, grader.summary(scores)) == ({"o": 1}, {"n": 2})
    with pytest.raises(TemplateError, match=r"item\.most"):
        await grader.grade([Case(3, {}, Sample("x"))])


@pytest.mark.parametrize(
    ("value", "threshold", "higher", "passed"),
    [
        (0.5, 0.5, True, True),
        (0.4, 0.5, True, False),
        (0.4, 0.5, False, True),
        (None, 0.5, True, None),
        (0.5, None, True, None),
    ],
)
def test_a_threshold_is_met_from_its_own_side(
    value: float | None, threshold: float | None, higher: bool, passed: bool | None
) -> None:
    assert met(value, threshold, higher_is_better=higher) is passed


@pytest.mark.parametrize(
    ("spec", "param", "says"),
    [
        ({"type": "python", "name": "x", "source": ""}, "g.type", "not run here"),
        ({"type": "vibes"}, "g.type", "string_check"),
        ({}, "g.type", "None"),
        ({**check("eq"), "operation": "near"}, "g.operation", "'near'"),
        ({"type": "string_check", "name": "x"}, "g.input", "required"),
        ({**check("eq"), "reference": "{{answer}}"}, "g.reference", "names nothing"),
        (
            {
                "type": "multi",
                "name": "m",
                "graders": {"a": check("near")},
                "calculate_output": "a",
            },
            "g.graders.a.operation",
            "'near'",
        ),
        (
            {"type": "multi", "name": "m", "graders": {"a": check("eq")}, "calculate_output": "b"},
            "g",
            "no grader of this one",
        ),
        (
            {
                "type": "label_model",
                "name": "l",
                "model": "m",
                "input": [{"role": "user", "content": "?"}],
                "labels": ["a"],
                "passing_labels": ["b"],
            },
            "g",
            "'b'",
        ),
        (
            {
                "type": "score_model",
                "name": "s",
                "model": "m",
                "input": [{"role": "user", "content": "{{item.}}"}],
            },
            "g.input.0.content",
            "names nothing",
        ),
        ({"type": "metric", "name": "m", "metric": 3}, "g.metric", "valid string"),
    ],
)
def test_a_wrong_spec_is_told_by_its_field(spec: dict[str, Any], param: str, says: str) -> None:
    with pytest.raises(SpecError) as caught:
        read_grader(spec, "g")
    assert caught.value.param == param, str(caught.value)
    assert says in str(caught.value)


async def test_metrics_of_the_registry_are_built_with_their_options() -> None:
    pytest.importorskip("deployments.evaluation.metrics.registry")
    spec = {"type": "metric", "name": "r", "metric": "rouge_l", "reference": "{{item.answer}}"}
    check_grader(spec)
    scores = await build_grader(read_grader({**spec, "pass_threshold": 0.9}), TOOLS).grade(CASES)
    assert [score.passed for score in scores] == [False, True]
    similar = {**check("eq"), "type": "text_similarity", "evaluation_metric": "rouge_1"}
    del similar["operation"]
    scores = await build_grader(read_grader(similar), TOOLS).grade(CASES)
    assert scores[1].value == 1.0
    with pytest.raises(SpecError) as caught:
        check_grader({**spec, "metric": "vibes"}, "g")
    assert caught.value.param == "g.metric"
    with pytest.raises(SpecError) as caught:
        check_grader({**spec, "options": {"nonsense": 1}}, "g")
    assert caught.value.param == "g.options.nonsense"
