"""From what a client wrote to the grader that does it."""

from collections.abc import Callable, Mapping
from typing import Any, Final, cast

from deployments.errors import InvalidRequest
from deployments.evaluation.graders.checks import MetricGrader, MultiGrader, StringCheckGrader
from deployments.evaluation.graders.formula import Formula
from deployments.evaluation.graders.grader import Grader
from deployments.evaluation.graders.judges import build_judge_grader
from deployments.evaluation.graders.specs import (
    GraderSpec,
    JudgeSpec,
    MetricSpec,
    MultiSpec,
    SpecError,
    StringCheckSpec,
    TextSimilaritySpec,
    read_grader,
)
from deployments.evaluation.graders.templates import Template
from deployments.evaluation.toolbox import Toolbox

__all__ = ["build_grader", "check_grader"]

_NO_TOOLS: Final = Toolbox(embedder=cast(Any, None), models=cast(Any, None), cache=cast(Any, None))


def build_grader(spec: GraderSpec, toolbox: Toolbox) -> Grader:
    """The grader of a spec.

    Raises SpecError, and InvalidRequest that names the grader's own field: an unknown metric, an
    option out of bounds. It is built without asking any of the tools.
    """
    if isinstance(spec, JudgeSpec):
        return build_judge_grader(spec, toolbox)
    return _BUILDERS[type(spec)](spec, toolbox)


def check_grader(given: Mapping[str, Any], param: str = "grader") -> GraderSpec:
    """The spec of a grader's body that can be built. Raises SpecError, its `param` from `param`."""
    spec = read_grader(given, param)
    try:
        build_grader(spec, _NO_TOOLS)
    except InvalidRequest as error:
        place = ".".join(part for part in (param, error.param) if part)
        raise SpecError(f"{param}: {error.message}", param=place) from error
    return spec


def _string_check(spec: StringCheckSpec, _toolbox: Toolbox) -> Grader:
    return StringCheckGrader(
        spec.name, Template(spec.input), Template(spec.reference), spec.operation
    )


def _text_similarity(spec: TextSimilaritySpec, toolbox: Toolbox) -> Grader:
    from deployments.evaluation.metrics.registry import find_metric

    return MetricGrader(
        spec.name,
        find_metric(spec.evaluation_metric),
        Template(spec.input),
        spec.reference,
        {},
        spec.pass_threshold,
        toolbox,
    )


def _of_metric(spec: MetricSpec, toolbox: Toolbox) -> Grader:
    from deployments.evaluation.metrics.registry import check_options, find_metric

    metric = find_metric(spec.metric)
    return MetricGrader(
        spec.name,
        metric,
        Template(spec.input),
        spec.reference,
        check_options(metric, spec.options),
        spec.pass_threshold,
        toolbox,
    )


def _multi(spec: MultiSpec, toolbox: Toolbox) -> Grader:
    parts = {name: build_grader(part, toolbox) for name, part in spec.parts.items()}
    return MultiGrader(spec.name, parts, Formula(spec.calculate_output, parts), spec.pass_threshold)


_BUILDERS: Final[Mapping[type[Any], Callable[[Any, Toolbox], Grader]]] = {
    StringCheckSpec: _string_check,
    TextSimilaritySpec: _text_similarity,
    MetricSpec: _of_metric,
    MultiSpec: _multi,
}
