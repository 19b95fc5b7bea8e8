"""The records: one SQLAlchemy model per table. The database is the truth; Milvus is an index of it.

A passage found in Milvus counts only if its `VectorStoreFile` row says `live`: that is what makes
replacement and deletion atomic. Every row but a project itself carries a project id.
"""

from cluster.records.access import ApiKey, AuditEvent, AuditHead, IdempotencyKey, Project, Usage
from cluster.records.answers import ResponseRecord, Trace, TraceScore
from cluster.records.base import Base, Owned, now
from cluster.records.documents import FileBatch, StoredFile, VectorStore, VectorStoreFile
from cluster.records.improvement import (
    Adapter,
    Alias,
    AliasMove,
    FineTuningCheckpoint,
    FineTuningEvent,
    FineTuningJob,
    GateRun,
)
from cluster.records.judgment import Eval, EvalComparison, EvalItem, EvalRun, JudgeVerdict
from cluster.records.learning import (
    Alert,
    DriftMonitor,
    DriftReport,
    Experiment,
    ExperimentEvent,
    Feedback,
    LineageEdge,
    QuestionVector,
)
from cluster.records.prompts import PromptLabel, PromptLabelMove, PromptRecord, PromptVersion

__all__ = [
    "Adapter",
    "Alert",
    "Alias",
    "AliasMove",
    "ApiKey",
    "AuditEvent",
    "AuditHead",
    "Base",
    "DriftMonitor",
    "DriftReport",
    "Eval",
    "EvalComparison",
    "EvalItem",
    "EvalRun",
    "Experiment",
    "ExperimentEvent",
    "Feedback",
    "FileBatch",
    "FineTuningCheckpoint",
    "FineTuningEvent",
    "FineTuningJob",
    "GateRun",
    "IdempotencyKey",
    "JudgeVerdict",
    "LineageEdge",
    "Owned",
    "Project",
    "PromptLabel",
    "PromptLabelMove",
    "PromptRecord",
    "PromptVersion",
    "QuestionVector",
    "ResponseRecord",
    "StoredFile",
    "Trace",
    "TraceScore",
    "Usage",
    "VectorStore",
    "VectorStoreFile",
    "now",
]
