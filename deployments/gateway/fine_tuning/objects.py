"""What `fine_tuning.jobs` answers: OpenAI's objects, and our additions to them."""

from typing import Any, Literal

from pydantic import BaseModel

from cluster.records import FineTuningCheckpoint, FineTuningEvent, FineTuningJob

__all__ = ["CheckpointObject", "EventObject", "JobObject"]


class JobObject(BaseModel):
    """A fine-tuning job. What stands after `metadata` is ours."""

    id: str
    object: Literal["fine_tuning.job"] = "fine_tuning.job"
    created_at: int
    finished_at: int | None
    status: str
    """queued, running, paused, succeeded, failed or cancelled."""
    model: str
    fine_tuned_model: str | None
    organization_id: str = "everloop"
    training_file: str
    validation_file: str | None
    result_files: list[str]
    hyperparameters: dict[str, Any]
    method: dict[str, Any]
    seed: int
    trained_tokens: int | None
    estimated_finish: int | None
    integrations: list[Any] = []
    error: dict[str, Any] | None
    metadata: dict[str, str]
    suffix: str | None
    started_at: int | None
    attempts: int
    evaluation_file: str | None
    alias: str | None
    gate_run: str | None
    """The gate run that followed."""
    training: dict[str, Any]
    """The run's settings, every default filled in."""
    report: dict[str, Any] | None

    @classmethod
    def of(cls, row: FineTuningJob, *, whole: bool = True) -> "JobObject":
        """Make it from its record; a list leaves settings and report out."""
        method = dict(row.method)
        hyperparameters = dict((method.get(method["type"]) or {}).get("hyperparameters") or {})
        return cls(
            id=row.id,
            created_at=row.created_at,
            finished_at=row.finished_at,
            status=row.status,
            model=row.model,
            fine_tuned_model=row.adapter_id,
            training_file=row.training_file,
            validation_file=row.validation_file,
            result_files=list(row.result_files),
            hyperparameters=hyperparameters,
            method=method,
            seed=int(row.settings.get("seed", 0)),
            trained_tokens=row.trained_tokens,
            estimated_finish=row.estimated_finish,
            error=row.error,
            metadata=row.meta,
            suffix=row.suffix,
            started_at=row.started_at,
            attempts=row.attempts,
            evaluation_file=row.evaluation_file,
            alias=None if row.gate is None else row.gate["alias"],
            gate_run=row.gate_id,
            training=row.settings if whole else {},
            report=row.report if whole else None,
        )


class EventObject(BaseModel):
    """Something that a job has to tell."""

    id: str
    object: Literal["fine_tuning.job.event"] = "fine_tuning.job.event"
    created_at: int
    level: str
    message: str
    type: str
    data: dict[str, Any]

    @classmethod
    def of(cls, row: FineTuningEvent) -> "EventObject":
        """Make it from its record."""
        return cls(
            id=row.id,
            created_at=row.created_at,
            level=row.level,
            message=row.message,
            type=row.type,
            data=row.data,
        )


class CheckpointObject(BaseModel):
    """A checkpoint of a job, whose adapter answers to `fine_tuned_model_checkpoint`."""

    id: str
    object: Literal["fine_tuning.job.checkpoint"] = "fine_tuning.job.checkpoint"
    created_at: int
    fine_tuning_job_id: str
    fine_tuned_model_checkpoint: str
    step_number: int
    metrics: dict[str, Any]

    @classmethod
    def of(cls, row: FineTuningCheckpoint) -> "CheckpointObject":
        """Make it from its record."""
        return cls(
            id=row.id,
            created_at=row.created_at,
            fine_tuning_job_id=row.job_id,
            fine_tuned_model_checkpoint=row.adapter_id,
            step_number=row.step,
            metrics=row.metrics,
        )
