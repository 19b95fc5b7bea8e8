"""From the specs of graders that ask a model to the graders themselves."""

from typing import TYPE_CHECKING, Any

from pydantic import BaseModel, ValidationError

from deployments.evaluation.cases import Case
from deployments.evaluation.graders.grader import Grader
from deployments.evaluation.graders.specs import (
    JudgeSpec,
    LabelModelSpec,
    PairwiseSpec,
    RubricSpec,
    ScoreModelSpec,
    SpecError,
)
from deployments.evaluation.graders.templates import Template
from deployments.evaluation.toolbox import Toolbox

if TYPE_CHECKING:
    from deployments.evaluation.judges.judge import Judge, Sampling

__all__ = ["build_judge_grader"]


def build_judge_grader(spec: JudgeSpec, toolbox: Toolbox) -> Grader:
    """The grader of a spec. Raises SpecError, and InvalidRequest that names the grader's field."""
    from deployments.evaluation.graders.models import LabelModelGrader, ScoreModelGrader
    from deployments.evaluation.graders.pairwise import PairwiseGrader
    from deployments.evaluation.graders.rubric import Criterion, RubricGrader

    judge = _judge(spec, toolbox)
    common: dict[str, Any] = {"sampling": _sampling(spec), "human_label": spec.human_label}
    if isinstance(spec, ScoreModelSpec):
        low, high = spec.range or (0.0, 1.0)
        return ScoreModelGrader(
            spec.name,
            [{"role": message.role, "content": message.template} for message in spec.input],
            judge,
            _render,
            bounds=(low, high),
            pass_threshold=spec.pass_threshold,
            **common,
        )
    if isinstance(spec, LabelModelSpec):
        return LabelModelGrader(
            spec.name,
            [{"role": message.role, "content": message.template} for message in spec.input],
            judge,
            _render,
            labels=spec.labels,
            passing_labels=spec.passing_labels,
            **common,
        )
    if isinstance(spec, PairwiseSpec):
        return PairwiseGrader(
            spec.name,
            spec.reference,
            judge,
            _render,
            question=spec.question,
            answer=spec.input,
            criterion=spec.criterion,
            pass_threshold=spec.pass_threshold,
            **common,
        )
    if isinstance(spec, RubricSpec):
        return RubricGrader(
            spec.name,
            [Criterion(one.name, one.description, one.weight) for one in spec.criteria],
            judge,
            _render,
            question=spec.question,
            answer=spec.input,
            reference=spec.reference,
            pass_threshold=spec.pass_threshold,
            **common,
        )
    raise AssertionError(f"no builder for {type(spec).__name__}")


def _render(template: str, case: Case) -> str:
    return Template(template).render(case)


def _judge(spec: JudgeSpec, toolbox: Toolbox) -> "Judge":
    from deployments.evaluation.judges.judge import Judge, JudgeSettings

    settings: JudgeSettings = _read(JudgeSettings, spec.judge, "judge")
    return Judge(spec.model, toolbox.models, toolbox.cache, settings)


def _sampling(spec: JudgeSpec) -> "Sampling":
    from deployments.evaluation.judges.judge import Sampling

    sampling: Sampling = _read(Sampling, spec.sampling_params or {}, "sampling_params")
    return sampling


def _read(kind: type[BaseModel], given: dict[str, Any], field: str) -> Any:
    try:
        return kind.model_validate(given)
    except ValidationError as error:
        first = error.errors()[0]
        place = ".".join([field, *(str(part) for part in first["loc"])])
        shown = repr(first.get("input"))[:120]
        raise SpecError(f"{place} is {shown}: {first['msg']}.", param=place) from error
