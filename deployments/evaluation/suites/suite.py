"""What a suite says: one YAML file, one frozen tree.

name: handbook
data: handbook.jsonl
answers:
  messages: [{role: user, content: "{{item.question}}"}]
  file_search: {stores: [sample]}
graders:
  - {type: string_check, name: port, operation: ilike, input: "{{sample.output_text}}",
     reference: "{{item.answer}}"}
thresholds:
  port: {min_pass_rate: 0.9}
"""

from collections.abc import Mapping
from pathlib import Path
from typing import Any, Literal, Self

from pydantic import Field, field_validator, model_validator

from cluster.sections.section import Section

__all__ = ["Answers", "Data", "FileSearch", "Message", "Sampling", "Suite", "Thresholds"]


class Data(Section):
    """Where the items are."""

    path: Path | None = None
    """JSON Lines, CSV or TSV, relative to the suite."""
    file_id: str | None = None
    """A file that was uploaded, of JSON Lines."""
    items: tuple[dict[str, Any], ...] | None = None
    """The items themselves."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        given = [name for name in ("path", "file_id", "items") if getattr(self, name) is not None]
        if len(given) != 1:
            raise ValueError(
                f"needs one of path, file_id and items, and has {' and '.join(given) or 'none'}"
            )
        return self


class Message(Section):
    """A message of the prompt; `{{item.FIELD}}` stands for a field of the item."""

    role: Literal["system", "developer", "user", "assistant"]
    content: str | None = None
    """Its text."""
    file: Path | None = None
    """In place of `content`: a text file relative to the suite, such as the prompt in use."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.content is None) == (self.file is None):
            raise ValueError("needs either content or file")
        return self


class Sampling(Section):
    """How answers are drawn. The defaults draw the same answer every time."""

    temperature: float = Field(default=0.0, ge=0, le=2)
    top_p: float | None = Field(default=None, gt=0, le=1)
    max_completion_tokens: int = Field(default=256, ge=1)
    """Longer answers are cut."""
    json_schema: dict[str, Any] | None = None
    """The answer is constrained to JSON of this schema."""


class FileSearch(Section):
    """Answer from documents, as `/v1/responses` does with its tool file_search."""

    stores: tuple[str, ...] = Field(min_length=1)
    """Names or ids of vector stores."""
    max_results: int | None = Field(default=None, ge=1, le=50)
    """Passages in the prompt; null is the service's own."""
    mode: Literal["hybrid", "dense", "bm25"] | None = None
    rerank: bool | None = None


class Answers(Section):
    """What answers the items: a model that is asked now, or the items themselves."""

    model: str | None = None
    """A model, an adapter or an alias; null is the first that the service lists."""
    messages: tuple[Message, ...] = ()
    """The prompt."""
    sampling: Sampling = Sampling()
    file_search: FileSearch | None = None
    given: str | None = None
    """The field of the items that holds the answer; nothing is asked then."""

    @model_validator(mode="after")
    def _one(self) -> Self:
        if (self.given is None) == (not self.messages):
            raise ValueError("needs either messages, the prompt, or given, the answers' field")
        if self.given is not None and (self.file_search is not None or self.model is not None):
            raise ValueError("given asks no model: leave model and file_search out")
        return self


class Thresholds(Section):
    """What a grader's figures must keep; each that is set is a check of its own."""

    min_mean: float | None = None
    """Least mean score."""
    max_mean: float | None = None
    """Greatest mean score, for what is better when low."""
    min_pass_rate: float | None = Field(default=None, ge=0, le=1)
    """Least share of the scored items that pass; of graders that pass or fail items."""
    max_regression: float | None = Field(default=None, ge=0)
    """Worse than the baseline's mean by more than this, and by the paired test: failed."""

    @model_validator(mode="after")
    def _some(self) -> Self:
        if not self.model_fields_set:
            raise ValueError(
                "sets nothing; allowed: min_mean, max_mean, min_pass_rate, max_regression"
            )
        return self


class Suite(Section):
    """A suite."""

    name: str = Field(min_length=1, max_length=128)
    description: str = ""
    data: Data
    answers: Answers
    graders: tuple[dict[str, Any], ...] = Field(min_length=1, max_length=64)
    """As `testing_criteria` of the API: OpenAI's graders, and ours of type `metric`, `pairwise`."""
    thresholds: Mapping[str, Thresholds] = {}
    """By the grader's name."""
    baseline: str | None = None
    """Id of the run that `max_regression` compares with; `--baseline` stands in its place."""
    alpha: float = Field(default=0.05, gt=0, lt=0.5)
    """Level of the paired tests together (Holm)."""
    repeats: int = Field(default=1, ge=1, le=20)
    """Times each item is answered, with the seeds `seed`, `seed` + 1, …; more than 1 needs a
    temperature above 0."""
    seed: int = Field(default=0, ge=0, le=2**31 - 1)
    """Of the sampling. Answers from documents are drawn without: `/v1/responses` has no seed."""
    slices: tuple[str, ...] = ()
    """Fields of the items by which the figures are split too, such as `language`."""

    @field_validator("data", mode="before")
    @classmethod
    def _shorthand(cls, value: object) -> object:
        """A path, or a list of items."""
        if isinstance(value, str):
            return {"path": value}
        return {"items": value} if isinstance(value, list) else value

    @model_validator(mode="after")
    def _possible(self) -> Self:
        regressions = [name for name, t in self.thresholds.items() if t.max_regression is not None]
        if self.repeats > 1 and self.answers.given is not None:
            raise ValueError("repeats above 1 ask a model again: leave answers.given out")
        if self.repeats > 1 and self.answers.sampling.temperature == 0:
            raise ValueError(
                f"repeats = {self.repeats} at temperature 0 would give the same answers: "
                "set answers.sampling.temperature, or repeats to 1"
            )
        if self.repeats > 1 and (regressions or self.baseline):
            raise ValueError("a baseline is compared with one run: set repeats to 1")
        return self
