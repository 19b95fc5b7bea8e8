"""What `evals` answers: OpenAI's objects, and our additions to them."""

from collections.abc import Mapping
from typing import Any, Literal

from pydantic import BaseModel

from cluster.records import Eval, EvalComparison, EvalItem, EvalRun
from deployments.gateway.evals.stored import STORED_ITEM_SCHEMA

__all__ = ["ComparisonObject", "EvalObject", "OutputItemObject", "ResultCounts", "RunObject"]

_SAMPLE_SCHEMA: dict[str, Any] = {
    "type": "object",
    "properties": {
        "output_text": {"type": "string"},
        "output_json": {},
        "output_tools": {"type": "array"},
        "passages": {"type": "array"},
    },
    "required": ["output_text"],
}


class EvalObject(BaseModel):
    """An eval."""

    id: str
    object: Literal["eval"] = "eval"
    created_at: int
    name: str
    data_source_config: dict[str, Any]
    testing_criteria: list[dict[str, Any]]
    metadata: dict[str, str]
    updated_at: int
    """Ours."""

    @classmethod
    def of(cls, row: Eval) -> "EvalObject":
        """Make it from its record."""
        return cls(
            id=row.id,
            created_at=row.created_at,
            name=row.name,
            data_source_config=_config(row.data_source_config),
            testing_criteria=row.testing_criteria,
            metadata=row.meta,
            updated_at=row.updated_at,
        )


def _config(given: Mapping[str, Any]) -> dict[str, Any]:
    """The form of a run's data: what is under `item`, and under `sample` where there is one."""
    custom = given["type"] == "custom"
    item = given["item_schema"] if custom else STORED_ITEM_SCHEMA
    properties: dict[str, Any] = {"item": item}
    if not custom or given.get("include_sample_schema"):
        properties["sample"] = _SAMPLE_SCHEMA
    schema = {"type": "object", "properties": properties, "required": list(properties)}
    more = {} if custom else {"metadata": given.get("metadata") or {}}
    return {"type": given["type"], "schema": schema, **more}


class ResultCounts(BaseModel):
    """What became of a run's items. Those that are neither of the three are not done yet."""

    total: int = 0
    passed: int = 0
    failed: int = 0
    errored: int = 0


class RunObject(BaseModel):
    """A run. What stands after `status` is ours."""

    id: str
    object: Literal["eval.run"] = "eval.run"
    eval_id: str
    created_at: int
    name: str
    model: str
    data_source: dict[str, Any]
    metadata: dict[str, str]
    error: dict[str, Any] | None
    per_model_usage: list[dict[str, Any]]
    per_testing_criteria_results: list[dict[str, Any]]
    report_url: str
    result_counts: ResultCounts
    status: str
    """queued, in_progress, completed, canceled or failed."""
    started_at: int | None
    finished_at: int | None
    summary: dict[str, Any] | None
    """Figures by grader, seconds and errors, once it has ended."""

    @classmethod
    def of(cls, row: EvalRun, outcomes: Mapping[str | None, int], base_url: str) -> "RunObject":
        """Make it from its record and how many of its items came out how."""
        summary = row.summary or {}
        return cls(
            id=row.id,
            eval_id=row.eval_id,
            created_at=row.created_at,
            name=row.name,
            model=row.model or "",
            data_source=row.data_source,
            metadata=row.meta,
            error=row.error,
            per_model_usage=summary.get("per_model_usage") or [],
            per_testing_criteria_results=[
                {
                    "testing_criteria": grader["name"],
                    "passed": grader["passed"],
                    "failed": grader["failed"],
                    "errored": grader["errored"],
                    "mean": grader["mean"],
                }
                for grader in summary.get("graders") or ()
            ],
            report_url=f"{base_url}/evals/{row.eval_id}/runs/{row.id}/page",
            result_counts=ResultCounts(
                total=row.items,
                passed=outcomes.get("pass", 0),
                failed=outcomes.get("fail", 0),
                errored=outcomes.get("error", 0),
            ),
            status=row.status,
            started_at=row.started_at,
            finished_at=row.finished_at,
            summary=row.summary,
        )


class OutputItemObject(BaseModel):
    """A scored item."""

    id: str
    object: Literal["eval.run.output_item"] = "eval.run.output_item"
    created_at: int
    eval_id: str
    run_id: str
    datasource_item: dict[str, Any]
    datasource_item_id: int
    results: list[dict[str, Any]]
    sample: dict[str, Any]
    status: str
    """pass, fail or error."""

    @classmethod
    def of(cls, row: EvalItem, run: EvalRun) -> "OutputItemObject":
        """Make it from its record."""
        return cls(
            id=row.id,
            created_at=row.finished_at or row.created_at,
            eval_id=run.eval_id,
            run_id=row.run_id,
            datasource_item=row.item,
            datasource_item_id=row.number - 1,
            results=[
                {
                    "name": name,
                    "score": score["value"],
                    "passed": score["passed"],
                    "sample": score["detail"],
                }
                for name, score in (row.scores or {}).items()
            ],
            sample=_sample(row, run),
            status=row.outcome or "error",
        )


def _sample(row: EvalItem, run: EvalRun) -> dict[str, Any]:
    """OpenAI's sample, and the fields of ours that templates reach beside it."""
    sample = dict(row.sample or {})
    asked = run.data_source.get("sampling_params") or {}
    prompt, completion = sample.get("prompt_tokens") or 0, sample.get("completion_tokens") or 0
    text = sample.get("output_text")
    return {
        **{name: value for name, value in sample.items() if name != "input"},
        "error": row.error,
        "finish_reason": sample.get("finish_reason") or "",
        "input": [_message(message) for message in sample.get("input") or ()],
        "output": [] if text is None else [{"role": "assistant", "content": text}],
        "model": sample.get("model") or "",
        "max_completion_tokens": asked.get("max_completion_tokens"),
        "seed": asked.get("seed"),
        "temperature": asked.get("temperature"),
        "top_p": asked.get("top_p"),
        "usage": {
            "prompt_tokens": prompt,
            "completion_tokens": completion,
            "cached_tokens": 0,
            "total_tokens": prompt + completion,
        },
    }


def _message(message: Mapping[str, Any]) -> dict[str, str]:
    content = message.get("content")
    return {
        "role": str(message.get("role")),
        "content": content if isinstance(content, str) else str(content),
    }


class ComparisonObject(BaseModel):
    """A comparison of two runs."""

    id: str
    object: Literal["eval.comparison"] = "eval.comparison"
    created_at: int
    baseline: str
    candidate: str
    settings: dict[str, Any]
    report: dict[str, Any]

    @classmethod
    def of(cls, row: EvalComparison, *, whole: bool = True) -> "ComparisonObject":
        """Make it from its record; a list leaves the report out."""
        return cls(
            id=row.id,
            created_at=row.created_at,
            baseline=row.baseline_run,
            candidate=row.candidate_run,
            settings=row.settings,
            report=row.report if whole else {},
        )
