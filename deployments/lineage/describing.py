"""What is told of a thing beside its links: a title, when it was made, a few facts."""

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import SQLColumnExpression, false, select

from cluster.records import (
    Adapter,
    Alert,
    Alias,
    AliasMove,
    DriftMonitor,
    DriftReport,
    Eval,
    EvalComparison,
    EvalRun,
    Experiment,
    Feedback,
    FineTuningCheckpoint,
    FineTuningJob,
    GateRun,
    LineageEdge,
    PromptRecord,
    PromptVersion,
    ResponseRecord,
    StoredFile,
    Trace,
    VectorStore,
    VectorStoreFile,
)
from deployments.lineage.keys import MOVE, PROMPT, STORE_FILE

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["TYPES", "Described", "describe"]

_LONGEST: Final = 200
_RECEIPT: Final = "receipt.json"


@dataclass(frozen=True, slots=True)
class Described:
    """A thing that there is, or was."""

    title: str | None = None
    created_at: int | None = None
    summary: Mapping[str, Any] = field(default_factory=dict)
    gone: bool = False
    """Deleted, though its record is still there."""


def describe(session: "Session", type_: str, ids: Sequence[str]) -> dict[str, Described]:
    """What there is to tell of things of one type; deleted ones are absent, or `gone`."""
    return _TYPES[type_](session, ids) if ids else {}


_Describe = Callable[["Session", Sequence[str]], dict[str, Described]]


def _rows(
    key: SQLColumnExpression[Any],
    row: Any,
    columns: tuple[Any, ...],
    tell: Callable[..., tuple[str | None, Mapping[str, Any]]],
    *,
    deleted_at: Any = None,
    newest: Any = None,
    narrowed: Callable[[Sequence[str]], SQLColumnExpression[bool]] | None = None,
) -> _Describe:
    """Describe rows of one table by `tell(*columns)`, which gives title and summary.

    Where a key has several rows, that with the highest `newest` counts. `narrowed` is a condition
    that an index helps with, where none helps to find the key.
    """
    gone = false() if deleted_at is None else deleted_at.is_not(None)
    query = select(key, row.created_at, gone, *columns)
    if newest is not None:
        query = query.order_by(newest)

    def read(session: "Session", ids: Sequence[str]) -> dict[str, Described]:
        found: dict[str, Described] = {}
        wanted = query.where(key.in_(ids))
        if narrowed is not None:
            wanted = wanted.where(narrowed(ids))
        for name, created_at, deleted, *values in session.execute(wanted):
            title, summary = tell(*values)
            kept = {field: _short(value) for field, value in summary.items() if value is not None}
            found[name] = Described(_short(title), created_at, kept, bool(deleted))
        return found

    return read


def _short(value: Any) -> Any:
    if isinstance(value, str) and len(value) > _LONGEST:
        return value[: _LONGEST - 1] + "…"
    return value


def _models(_session: "Session", ids: Sequence[str]) -> dict[str, Described]:
    return {name: Described(name) for name in ids}


def _passages(session: "Session", ids: Sequence[str]) -> dict[str, Described]:
    """Passages by the file that they stand in; gone where their file was detached everywhere."""
    parts = select(LineageEdge.target, LineageEdge.source).where(
        LineageEdge.target.in_(ids),
        LineageEdge.kind == "part",
    )
    places: dict[str, str] = {row.target: row.source for row in session.execute(parts)}
    files = describe(session, "vector_store.file", sorted(set(places.values())))
    known = {name: files.get(place) for name, place in places.items()}
    return {
        name: Described(file.title, None, {"vector_store_file": places[name]}, file.gone)
        for name, file in known.items()
        if file is not None
    }


def _prompts(session: "Session", ids: Sequence[str]) -> dict[str, Described]:
    """Versions of the records; any other came with the program, and cannot be deleted."""
    shipped = {name: Described(name, None, {"shipped": True}) for name in ids}
    return shipped | _PROMPT_VERSIONS(session, ids)


def _file(filename: str, purpose: str, size: int, meta: Mapping[str, Any]) -> Any:
    role = "document"
    if purpose in {"fine-tune", "evals"}:
        role = "dataset"
    elif purpose == "fine-tune-results":
        role = "receipt" if filename == _RECEIPT else "result"
    rows = (meta.get("dataset") or {}).get("rows")
    left_out = meta.get("sources_left_out")
    return filename, {
        "role": role,
        "purpose": purpose,
        "bytes": size,
        "rows": rows,
        "sources_left_out": left_out,
    }


_PROMPT_VERSIONS: Final = _rows(
    PROMPT,
    PromptVersion,
    (PromptVersion.name, PromptVersion.number, PromptVersion.comment),
    lambda name, number, comment: (f"{name} {number}", {"number": number, "comment": comment}),
    deleted_at=select(PromptRecord.deleted_at)
    .where(PromptRecord.id == PromptVersion.prompt_id)
    .scalar_subquery(),
)

_TYPES: Final[dict[str, _Describe]] = {
    "trace": _rows(
        Trace.id,
        Trace,
        (Trace.question, Trace.answer, Trace.model, Trace.alias, Trace.status, Trace.route),
        lambda question, answer, model, alias, status, route: (
            question or route,
            {"answer": answer, "model": model, "alias": alias, "status": status},
        ),
    ),
    "response": _rows(ResponseRecord.id, ResponseRecord, (), lambda: (None, {})),
    "feedback": _rows(
        Feedback.id,
        Feedback,
        (
            Feedback.name,
            Feedback.thumbs,
            Feedback.score,
            Feedback.correction,
            Feedback.comment,
            Feedback.review,
        ),
        lambda name, thumbs, score, correction, comment, review: (
            correction or comment or thumbs or name,
            {"name": name, "thumbs": thumbs, "score": score, "review": review},
        ),
    ),
    "passage": _passages,
    "file": _rows(
        StoredFile.id,
        StoredFile,
        (StoredFile.filename, StoredFile.purpose, StoredFile.bytes, StoredFile.meta),
        _file,
    ),
    "vector_store": _rows(
        VectorStore.id,
        VectorStore,
        (VectorStore.name,),
        lambda name: (name, {}),
        deleted_at=VectorStore.deleted_at,
    ),
    "vector_store.file": _rows(
        STORE_FILE,
        VectorStoreFile,
        (VectorStoreFile.filename, VectorStoreFile.stage, VectorStoreFile.passages),
        lambda filename, stage, passages: (filename, {"stage": stage, "passages": passages}),
        deleted_at=VectorStoreFile.deleted_at,
        newest=VectorStoreFile.number,
        narrowed=lambda ids: VectorStoreFile.file_id.in_({i.rpartition("/")[2] for i in ids}),
    ),
    "prompt": _prompts,
    "model": _models,
    "adapter": _rows(
        Adapter.id,
        Adapter,
        (Adapter.base, Adapter.kind, Adapter.lineage),
        lambda base, kind, lineage: (
            None,
            {"base": base, "kind": kind, "rows": (lineage.get("receipt") or {}).get("rows")},
        ),
        deleted_at=Adapter.deleted_at,
    ),
    "fine_tuning.job": _rows(
        FineTuningJob.id,
        FineTuningJob,
        (FineTuningJob.suffix, FineTuningJob.status, FineTuningJob.model),
        lambda suffix, status, model: (suffix, {"status": status, "model": model}),
    ),
    "fine_tuning.job.checkpoint": _rows(
        FineTuningCheckpoint.id,
        FineTuningCheckpoint,
        (FineTuningCheckpoint.step,),
        lambda step: (f"step {step}", {"step": step}),
    ),
    "gate_run": _rows(
        GateRun.id,
        GateRun,
        (GateRun.alias, GateRun.status, GateRun.verdict, GateRun.promoted),
        lambda alias, status, verdict, promoted: (
            verdict or status,
            {"alias": alias, "status": status, "verdict": verdict, "promoted": promoted},
        ),
    ),
    "alias": _rows(
        Alias.name,
        Alias,
        (Alias.target, Alias.version),
        lambda target, version: (target, {"target": target, "version": version}),
    ),
    "alias.move": _rows(
        MOVE,
        AliasMove,
        (AliasMove.kind, AliasMove.source, AliasMove.target, AliasMove.reason),
        lambda kind, source, target, reason: (
            f"{kind}: {target}",
            {"kind": kind, "source": source, "target": target, "reason": reason},
        ),
    ),
    "experiment": _rows(
        Experiment.id,
        Experiment,
        (Experiment.name, Experiment.status, Experiment.alias),
        lambda name, status, alias: (name, {"status": status, "alias": alias}),
    ),
    "eval": _rows(Eval.id, Eval, (Eval.name,), lambda name: (name, {})),
    "eval.run": _rows(
        EvalRun.id,
        EvalRun,
        (EvalRun.name, EvalRun.status, EvalRun.model, EvalRun.items),
        lambda name, status, model, items: (
            name,
            {"status": status, "model": model, "items": items},
        ),
    ),
    "eval.comparison": _rows(EvalComparison.id, EvalComparison, (), lambda: (None, {})),
    "drift.monitor": _rows(
        DriftMonitor.id,
        DriftMonitor,
        (DriftMonitor.name, DriftMonitor.status),
        lambda name, status: (name, {"status": status}),
    ),
    "drift.report": _rows(
        DriftReport.id,
        DriftReport,
        (DriftReport.drifted,),
        lambda drifted: ("drifted" if drifted else "steady", {"drifted": drifted}),
    ),
    "alert": _rows(
        Alert.id,
        Alert,
        (Alert.title, Alert.kind, Alert.status),
        lambda title, kind, status: (title, {"kind": kind, "status": status}),
    ),
}

TYPES: Final = frozenset(_TYPES)
"""All types of things."""
