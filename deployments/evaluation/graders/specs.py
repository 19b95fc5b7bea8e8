"""What a grader is asked to be: OpenAI's graders, and ours beside them. Checked when they are made.

A spec says what a client wrote; `build.py` makes the grader of it.
"""

from collections.abc import Mapping, Sequence
from typing import Annotated, Any, Final, Literal, Self

from pydantic import (
    BaseModel,
    ConfigDict,
    Field,
    TypeAdapter,
    ValidationError,
    field_validator,
    model_validator,
)

from cluster.errors import EverloopError
from deployments.evaluation.graders.formula import Formula, FormulaError
from deployments.evaluation.graders.templates import Template, TemplateError, names_in

__all__ = [
    "GraderSpec",
    "JudgeSpec",
    "LabelModelSpec",
    "MetricSpec",
    "MultiSpec",
    "PairwiseSpec",
    "RubricSpec",
    "ScoreModelSpec",
    "SpecError",
    "StringCheckSpec",
    "TextSimilaritySpec",
    "read_grader",
]

_MAX_MESSAGES: Final = 64
_MAX_PARTS: Final = 64
_ANSWER: Final = "{{sample.output_text}}"


class SpecError(EverloopError):
    """A grader cannot be what it is asked to be; `param` is the field, dotted."""

    def __init__(self, message: str, *, param: str = "", fix: str = "") -> None:
        super().__init__(message, fix=fix)
        self.param = param

    def __reduce__(self) -> tuple[object, ...]:
        """Survive pickling with `param` intact."""
        return (_again, (self.message, self.param, self.fix))


def _again(message: str, param: str, fix: str) -> SpecError:
    return SpecError(message, param=param, fix=fix)


def _template(text: str) -> str:
    try:
        Template(text)
    except TemplateError as error:
        raise ValueError(str(error)) from error
    return text


def _templates(value: Any) -> Any:
    try:
        names_in(value)
    except TemplateError as error:
        raise ValueError(str(error)) from error
    return value


TemplateText = Annotated[str, Field(max_length=65_536)]
Name = Annotated[str, Field(min_length=1, max_length=128)]
Finite = Annotated[float, Field(allow_inf_nan=False)]


class Spec(BaseModel):
    """A grader's body. An unknown field is an error."""

    model_config = ConfigDict(frozen=True, extra="forbid", use_attribute_docstrings=True)
    name: Name
    """What the eval's results call it."""


class TextPart(BaseModel):
    """A part of a message."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    type: Literal["input_text", "output_text", "text"]
    text: TemplateText

    _check = field_validator("text")(_template)


class Message(BaseModel):
    """A message to a judge or a model; its content is a template."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    role: Literal["user", "assistant", "system", "developer"]
    content: (
        TemplateText
        | TextPart
        | Annotated[list[TextPart | TemplateText], Field(min_length=1, max_length=_MAX_PARTS)]
    )
    type: Literal["message"] = "message"

    @field_validator("content")
    @classmethod
    def _well_formed(cls, content: Any) -> Any:
        parts = content if isinstance(content, list) else [content]
        for part in parts:
            if isinstance(part, str):
                _template(part)
        return content

    @property
    def template(self) -> str:
        """Its text, a template."""
        parts = self.content if isinstance(self.content, list) else [self.content]
        return "\n".join(part if isinstance(part, str) else part.text for part in parts)


Messages = Annotated[list[Message], Field(min_length=1, max_length=_MAX_MESSAGES)]


class StringCheckSpec(Spec):
    """OpenAI's: compares two texts."""

    type: Literal["string_check"]
    input: TemplateText
    reference: TemplateText
    operation: Literal["eq", "ne", "like", "ilike"]
    """`like` is «contains», `ilike` the same whatever the case."""

    _check = field_validator("input", "reference")(_template)


class TextSimilaritySpec(Spec):
    """OpenAI's: how close two texts are, by a metric from 0 to 1."""

    type: Literal["text_similarity"]
    input: TemplateText
    reference: TemplateText
    evaluation_metric: Literal[
        "cosine",
        "fuzzy_match",
        "bleu",
        "gleu",
        "meteor",
        "rouge_1",
        "rouge_2",
        "rouge_3",
        "rouge_4",
        "rouge_5",
        "rouge_l",
    ]
    pass_threshold: Finite | None = None

    _check = field_validator("input", "reference")(_template)


class JudgeSpec(Spec):
    """What graders have in common that ask a model."""

    model: Name
    sampling_params: dict[str, Any] | None = None
    """OpenAI's, under its names."""
    judge: dict[str, Any] = Field(default_factory=dict)
    """Ours: how the model is asked, such as {"shape": "json_schema"} for one outside."""
    human_label: Annotated[str, Field(min_length=1, max_length=256)] | None = None
    """Ours: the item's field with a person's verdict, for the judge's agreement with people."""


class ScoreModelSpec(JudgeSpec):
    """OpenAI's: a model gives a number."""

    type: Literal["score_model"]
    input: Messages
    range: Annotated[list[Finite], Field(min_length=2, max_length=2)] | None = None
    """From the worst to the best; [0, 1] where it is not given."""
    pass_threshold: Finite | None = None

    @field_validator("range")
    @classmethod
    def _grows(cls, value: list[float] | None) -> list[float] | None:
        if value is not None and not value[0] < value[1]:
            raise ValueError(f"the first number, {value[0]:g}, must be below the second")
        return value


class LabelModelSpec(JudgeSpec):
    """OpenAI's: a model picks a label."""

    type: Literal["label_model"]
    input: Messages
    labels: Annotated[
        list[Annotated[str, Field(min_length=1, max_length=256)]],
        Field(min_length=1, max_length=64),
    ]
    passing_labels: Annotated[list[str], Field(min_length=1, max_length=64)]

    @model_validator(mode="after")
    def _labels_known(self) -> Self:
        if len(set(self.labels)) < len(self.labels):
            raise ValueError("labels has the same label twice")
        if unknown := sorted(set(self.passing_labels) - set(self.labels)):
            raise ValueError(f"passing_labels has {unknown[0]!r}, which labels does not have")
        return self


class MetricSpec(Spec):
    """Ours: any metric of the registry."""

    type: Literal["metric"]
    metric: Annotated[str, Field(min_length=1, max_length=64)]
    input: TemplateText = _ANSWER
    reference: Any = None
    """A template, or a JSON value whose texts are templates, as the metric needs it."""
    options: dict[str, Any] = Field(default_factory=dict)
    pass_threshold: Finite | None = None

    _check = field_validator("input")(_template)
    _check_reference = field_validator("reference")(_templates)


class PairwiseSpec(JudgeSpec):
    """Ours: a model says which of two answers is better, asked in both orders."""

    type: Literal["pairwise"]
    reference: TemplateText
    """The answer to compare with, such as `{{item.reference}}`."""
    question: TemplateText = ""
    input: TemplateText = _ANSWER
    criterion: Annotated[str, Field(max_length=4096)] = ""
    """Stands instead of «Which answer is better?»."""
    pass_threshold: Finite | None = 1.0
    """A win is 1, a tie 0.5, a loss 0."""

    _check = field_validator("question", "input", "reference")(_template)


class CriterionSpec(BaseModel):
    """One thing that a rubric looks at."""

    model_config = ConfigDict(frozen=True, extra="forbid")
    name: Name
    description: Annotated[str, Field(min_length=1, max_length=4096)]
    weight: Annotated[float, Field(gt=0, allow_inf_nan=False)] = 1.0


class RubricSpec(JudgeSpec):
    """Ours: a model gives 1 to 5 for each criterion; the value is their weighted mean."""

    type: Literal["rubric"]
    criteria: Annotated[list[CriterionSpec], Field(min_length=1, max_length=20)]
    question: TemplateText = ""
    input: TemplateText = _ANSWER
    reference: TemplateText = ""
    pass_threshold: Finite | None = None

    _check = field_validator("question", "input", "reference")(_template)


PartSpec = Annotated[
    StringCheckSpec | TextSimilaritySpec | ScoreModelSpec | LabelModelSpec | MetricSpec,
    Field(discriminator="type"),
]


class MultiSpec(Spec):
    """OpenAI's: a formula over the values of other graders."""

    type: Literal["multi"]
    graders: (
        Annotated[dict[str, PartSpec], Field(min_length=1, max_length=16)]
        | Annotated[list[PartSpec], Field(min_length=1, max_length=16)]
        | PartSpec
    )
    """By the names that the formula uses; of a list, their own names."""
    calculate_output: Annotated[str, Field(min_length=1, max_length=1000)]
    pass_threshold: Finite | None = None

    @model_validator(mode="after")
    def _formula_reads(self) -> Self:
        parts = self.parts
        if isinstance(self.graders, list) and len(parts) < len(self.graders):
            raise ValueError("graders has the same name twice")
        try:
            Formula(self.calculate_output, parts)
        except FormulaError as error:
            raise ValueError(str(error)) from error
        return self

    @property
    def parts(self) -> dict[str, "PartSpec"]:
        """The graders by name."""
        if isinstance(self.graders, dict):
            return dict(self.graders)
        listed = self.graders if isinstance(self.graders, list) else [self.graders]
        return {spec.name: spec for spec in listed}


GraderSpec = (
    StringCheckSpec
    | TextSimilaritySpec
    | ScoreModelSpec
    | LabelModelSpec
    | MetricSpec
    | MultiSpec
    | PairwiseSpec
    | RubricSpec
)
_TYPES: Final = (
    "string_check",
    "text_similarity",
    "score_model",
    "label_model",
    "multi",
    "metric",
    "pairwise",
    "rubric",
)
_ADAPTER: Final[TypeAdapter[GraderSpec]] = TypeAdapter(
    Annotated[GraderSpec, Field(discriminator="type")]
)


def read_grader(given: Mapping[str, Any], param: str = "grader") -> GraderSpec:
    """The spec of a grader's body. Raises SpecError that names the field, value and what may be."""
    kind = given.get("type")
    if kind == "python":
        raise SpecError(
            f"{param}.type is 'python'. Code from requests is not run here.",
            param=f"{param}.type",
            fix="Use a `metric` grader, such as `regex` or `json_schema`, or a `multi` grader.",
        )
    if kind not in _TYPES:
        raise SpecError(
            f"{param}.type is {kind!r}.",
            param=f"{param}.type",
            fix=f"Allowed: {', '.join(_TYPES)}.",
        )
    try:
        return _ADAPTER.validate_python(given)
    except ValidationError as error:
        raise _told(error, param) from error


def _told(error: ValidationError, param: str) -> SpecError:
    """The error of the field that is wrong; of a union's members, the one that came furthest."""
    problems = error.errors()
    first = max(problems, key=lambda problem: len(_place(problem["loc"])))
    place = ".".join([param, *_place(first["loc"])])
    said = first["msg"].removeprefix("Value error, ")
    if first["type"] == "missing":
        return SpecError(f"{place} is required.", param=place)
    if first["type"] == "extra_forbidden":
        return SpecError(f"Unknown parameter: {place}.", param=place)
    shown = repr(first.get("input"))
    shown = shown if len(shown) <= 120 else shown[:120] + "…"
    return SpecError(f"{place} is {shown}: {said.rstrip('.')}.", param=place)


_LABELS: Final = frozenset({*_TYPES, "str", "TextPart"})
"""Names that pydantic gives to the members of unions."""


def _place(location: Sequence[str | int]) -> list[str]:
    """The field's names, without those of unions' members; `metric` is also a field's name."""
    kept = []
    before: str | int = ""
    for part in location:
        label = isinstance(part, str) and ("[" in part or part in _LABELS)
        if not label or (part == before == "metric"):
            kept.append(str(part))
        before = part
    return kept
