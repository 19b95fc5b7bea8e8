"""Answers as JSON and back: in the records, from stored traces, and as data brings them along."""

import math
from collections.abc import Mapping
from dataclasses import asdict
from typing import Annotated, Any

from pydantic import BaseModel, ConfigDict, Field

from cluster.records import Trace
from deployments.evaluation.cases import Passage, Sample

__all__ = ["GivenSample", "cleaned", "read_sample", "sample_json", "sample_of_trace"]


class GivenPassage(BaseModel):
    """A passage as data gives it."""

    model_config = ConfigDict(extra="forbid")
    text: str
    document: str = ""
    cited: bool = False


class GivenSample(BaseModel):
    """An answer as data gives it, under the names that templates use."""

    model_config = ConfigDict(extra="forbid")
    output_text: str
    model: str | None = None
    output_json: Any = None
    output_tools: list[dict[str, Any]] = Field(default_factory=list)
    passages: list[GivenPassage] = Field(default_factory=list)
    refused: bool = False
    seconds: Annotated[float, Field(ge=0, allow_inf_nan=False)] | None = None
    prompt_tokens: Annotated[int, Field(ge=0)] | None = None
    completion_tokens: Annotated[int, Field(ge=0)] | None = None
    log_probabilities: list[Annotated[float, Field(le=0, allow_inf_nan=False)]] = Field(
        default_factory=list
    )
    trace_id: str | None = None
    finish_reason: str | None = None


def sample_json(sample: Sample) -> dict[str, Any]:
    """What the records keep of an answer: only what a database can hold."""
    kept: dict[str, Any] = cleaned(asdict(sample))
    return kept


def read_sample(kept: Mapping[str, Any]) -> Sample:
    """The answer of what `sample_json` made, or of a GivenSample; other keys are read over."""
    given = {name: kept[name] for name in Sample.__dataclass_fields__ if name in kept}
    passages = [Passage(**passage) for passage in given.pop("passages", ())]
    return Sample(**given, passages=passages)


def sample_of_trace(trace: Trace) -> Sample:
    """The answer that a trace recorded, with the passages that were in its prompt."""
    body = trace.body
    tokens = body.get("tokens") or {}
    return Sample(
        output_text=trace.answer or "",
        model=trace.model,
        passages=passages_of_trace(body),
        refused=bool(body.get("refused")),
        seconds=trace.duration_ms / 1000,
        prompt_tokens=tokens.get("prompt"),
        completion_tokens=tokens.get("completion"),
        trace_id=trace.id,
        finish_reason=body.get("finish_reason"),
    )


def passages_of_trace(body: Mapping[str, Any]) -> list[Passage]:
    """The passages of a trace's body; a sentence's support says which are cited."""
    cited = {
        support["passage"]
        for sentence in body.get("sentences") or ()
        for support in sentence.get("supports") or ()
    }
    return [
        Passage(str(passage.get("text", "")), str(passage.get("filename", "")), index in cited)
        for index, passage in enumerate(body.get("passages") or ())
    ]


def cleaned(value: Any) -> Any:
    """A JSON value without what PostgreSQL refuses: NUL, half surrogate pairs, NaN, infinity."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd").encode(errors="replace").decode()
    if isinstance(value, float):
        return value if math.isfinite(value) else None
    if isinstance(value, Mapping):
        return {cleaned(str(key)): cleaned(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [cleaned(item) for item in value]
    return value
