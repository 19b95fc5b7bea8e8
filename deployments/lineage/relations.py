"""Every way in which one thing of Everloop has a part in another, said once for both directions."""

from collections.abc import Iterable, Mapping
from typing import Any, Final

from cluster.arms import ARM_PREFIX
from cluster.records import (
    Adapter,
    Alert,
    Alias,
    AliasMove,
    DriftReport,
    EvalComparison,
    EvalRun,
    Experiment,
    Feedback,
    FineTuningCheckpoint,
    FineTuningJob,
    GateRun,
    PromptVersion,
    ResponseRecord,
    Trace,
)
from deployments.lineage.keys import MOVE, PROMPT, STANDS_AT
from deployments.lineage.node import ANSWERER, RAISER
from deployments.lineage.relation import ColumnRelation, ListRelation, Relation
from deployments.lineage.special import FilesInStores, MovesInForce, WrittenEdges

__all__ = ["RELATIONS"]


def _columns(
    kind: str,
    source: str,
    target: str,
    sources: Any,
    targets: Any,
    row: Any,
    newest: Any = None,
    **more: Any,
) -> ColumnRelation:
    newest = row.id if newest is None else newest
    return ColumnRelation(kind, source, target, sources, targets, newest, **more)


def _answerers(model: str | None, summary: Mapping[str, Any] | None) -> Iterable[str]:
    """What answered a run's questions, not the alias by which it was asked."""
    if summary is None:
        return () if model is None else (model,)
    return (str(used["model_name"]) for used in summary.get("per_model_usage") or ())


def _arms(name: str) -> Any:
    def read(arms: list[dict[str, Any]]) -> Iterable[str]:
        return (str(arm[name]) for arm in arms if arm.get(name))

    return read


def _steps(body: Mapping[str, Any]) -> Iterable[str]:
    return (str(step["prompt"]) for step in body.get("steps") or () if step.get("prompt"))


_ANSWERS: Final[tuple[Relation, ...]] = (
    _columns("prompt", "prompt", "trace", Trace.prompt_version, Trace.id, Trace),
    _columns("answered_by", ANSWERER, "trace", Trace.model, Trace.id, Trace),
    MovesInForce(),
    _columns("experiment", "experiment", "trace", Trace.experiment_id, Trace.id, Trace),
    _columns("shadow", "trace", "trace", Trace.shadow_of, Trace.id, Trace),
    _columns(
        "kept_as", "trace", "response", ResponseRecord.trace_id, ResponseRecord.id, ResponseRecord
    ),
    _columns("judged_by", "trace", "feedback", Feedback.trace_id, Feedback.id, Feedback),
    ListRelation(
        "step",
        "prompt",
        "prompt",
        False,
        PROMPT,
        (PromptVersion.body,),
        PromptVersion.created_at,
        _steps,
    ),
)

_TRAINING: Final[tuple[Relation, ...]] = (
    *(
        _columns(kind, "file", "fine_tuning.job", file, FineTuningJob.id, FineTuningJob)
        for kind, file in (
            ("trained_on", FineTuningJob.training_file),
            ("validated_on", FineTuningJob.validation_file),
            ("evaluated_on", FineTuningJob.evaluation_file),
        )
    ),
    _columns("base", "model", "adapter", Adapter.base, Adapter.id, Adapter, Adapter.number),
    _columns(
        "made",
        "fine_tuning.job",
        "adapter",
        FineTuningJob.id,
        FineTuningJob.adapter_id,
        FineTuningJob,
    ),
    _columns(
        "saved",
        "fine_tuning.job",
        "fine_tuning.job.checkpoint",
        FineTuningCheckpoint.job_id,
        FineTuningCheckpoint.id,
        FineTuningCheckpoint,
    ),
    _columns(
        "made",
        "fine_tuning.job.checkpoint",
        "adapter",
        FineTuningCheckpoint.id,
        FineTuningCheckpoint.adapter_id,
        FineTuningCheckpoint,
    ),
    ListRelation(
        "result",
        "fine_tuning.job",
        "file",
        True,
        FineTuningJob.id,
        (FineTuningJob.result_files,),
        FineTuningJob.id,
        iter,
    ),
    _columns(
        "candidate",
        ANSWERER,
        "gate_run",
        GateRun.adapter_id,
        GateRun.id,
        GateRun,
        only=~GateRun.adapter_id.startswith(ARM_PREFIX),
    ),
    _columns("champion", ANSWERER, "gate_run", GateRun.champion, GateRun.id, GateRun),
    _columns("compared_on", "file", "gate_run", GateRun.evaluation_file, GateRun.id, GateRun),
    _columns(
        "decided", "gate_run", "alias.move", AliasMove.gate_id, MOVE, AliasMove, AliasMove.number
    ),
    _columns(
        "moved_to", ANSWERER, "alias.move", AliasMove.target, MOVE, AliasMove, AliasMove.number
    ),
    _columns(
        "moved_to",
        "prompt",
        "alias.move",
        AliasMove.serving["prompt"].as_string(),
        MOVE,
        AliasMove,
        AliasMove.number,
    ),
    _columns("stands_at", "alias.move", "alias", STANDS_AT, Alias.name, Alias, Alias.updated_at),
)

_JUDGMENT: Final[tuple[Relation, ...]] = (
    _columns("run", "eval", "eval.run", EvalRun.eval_id, EvalRun.id, EvalRun),
    _columns(
        "items",
        "file",
        "eval.run",
        EvalRun.data_source["source"]["id"].as_string(),
        EvalRun.id,
        EvalRun,
    ),
    ListRelation(
        "answered_by",
        "eval.run",
        ANSWERER,
        False,
        EvalRun.id,
        (EvalRun.model, EvalRun.summary),
        EvalRun.id,
        _answerers,
    ),
    *(
        _columns(kind, "eval.run", "eval.comparison", run, EvalComparison.id, EvalComparison)
        for kind, run in (
            ("baseline", EvalComparison.baseline_run),
            ("candidate", EvalComparison.candidate_run),
        )
    ),
)

_LEARNING: Final[tuple[Relation, ...]] = (
    *(
        ListRelation(
            "arm",
            "experiment",
            other,
            False,
            Experiment.id,
            (Experiment.arms,),
            Experiment.created_at,
            _arms(name),
        )
        for other, name in ((ANSWERER, "model"), ("prompt", "prompt"))
    ),
    _columns(
        "candidate",
        "experiment",
        "gate_run",
        Experiment.id,
        Experiment.promotion["gate"].as_string(),
        Experiment,
        Experiment.created_at,
    ),
    _columns(
        "looked",
        "drift.monitor",
        "drift.report",
        DriftReport.monitor_id,
        DriftReport.id,
        DriftReport,
    ),
    _columns("raised", "drift.report", "alert", DriftReport.id, DriftReport.alert_id, DriftReport),
    _columns("raised", RAISER, "alert", Alert.source_id, Alert.id, Alert),
)

RELATIONS: Final[tuple[Relation, ...]] = (
    WrittenEdges(),
    FilesInStores(),
    *_ANSWERS,
    *_TRAINING,
    *_JUDGMENT,
    *_LEARNING,
)
