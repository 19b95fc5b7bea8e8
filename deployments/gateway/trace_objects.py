"""How the API shows a trace."""

from typing import Any, Literal

from pydantic import BaseModel, ConfigDict

from cluster.records import Trace, TraceScore

__all__ = ["TraceObject"]


class TraceObject(BaseModel):
    """What one request did. `body`'s fields (passages, sentences, tokens, …) stand beside these."""

    model_config = ConfigDict(extra="allow")

    id: str
    object: Literal["trace"] = "trace"
    created_at: int
    request_id: str
    route: str
    model: str | None
    status: int
    duration_ms: float
    question: str | None
    answer: str | None
    prompt_version: str | None
    alias: str | None
    user_id: str | None
    experiment_id: str | None
    arm: str | None
    shadow_of: str | None
    refused: bool | None
    error_code: str | None
    prompt_tokens: int | None
    completion_tokens: int | None
    cost: float | None
    """In the currency of `tracing.prices`."""
    scores: list[dict[str, Any]]
    feedback: list[dict[str, Any]]

    @classmethod
    def of(
        cls, row: Trace, scores: list[TraceScore], feedback: list[dict[str, Any]]
    ) -> "TraceObject":
        """Make it from its record, its scores and what was said of it."""
        own = {
            "id": row.id,
            "created_at": row.created_at,
            "request_id": row.request_id,
            "route": row.route,
            "model": row.model,
            "status": row.status,
            "duration_ms": row.duration_ms,
            "question": row.question,
            "answer": row.answer,
            "prompt_version": row.prompt_version,
            "alias": row.alias,
            "user_id": row.user_id,
            "experiment_id": row.experiment_id,
            "arm": row.arm,
            "shadow_of": row.shadow_of,
            "refused": row.refused,
            "error_code": row.error_code,
            "prompt_tokens": row.prompt_tokens,
            "completion_tokens": row.completion_tokens,
            "cost": row.cost,
            "feedback": feedback,
            "scores": [
                {
                    "name": score.name,
                    "value": score.value,
                    "evaluator": score.evaluator,
                    "detail": score.detail,
                    "created_at": score.created_at,
                }
                for score in scores
            ],
        }
        return cls(**{**row.body, **own, "object": "trace"})
