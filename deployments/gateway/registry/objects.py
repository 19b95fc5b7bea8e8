"""What the registry's routes answer."""

from typing import Any, Literal

from pydantic import BaseModel

from cluster.records import Adapter, Alias, AliasMove, GateRun
from deployments.serving import Serving

__all__ = ["AdapterObject", "AliasMoveObject", "AliasObject", "GateRunObject"]


class AdapterObject(BaseModel):
    """An adapter version: immutable, named by its content."""

    id: str
    object: Literal["adapter"] = "adapter"
    created_at: int
    base_model: str
    base_revision: str
    kind: str
    bytes: int
    files: list[dict[str, Any]]
    lineage: dict[str, Any]
    """Job, data files and their digests, receipt, settings, versions of the code."""
    metrics: dict[str, Any]
    aliases: list[str]
    """Those that point at it now."""

    @classmethod
    def of(cls, row: Adapter, aliases: list[str]) -> "AdapterObject":
        """Make it from its record."""
        return cls(
            id=row.id,
            created_at=row.created_at,
            base_model=row.base,
            base_revision=row.base_revision,
            kind=row.kind,
            bytes=row.bytes,
            files=row.files["files"],
            lineage=row.lineage,
            metrics=row.metrics,
            aliases=aliases,
        )


class AliasObject(BaseModel):
    """A name that clients call, and what answers to it."""

    id: str
    object: Literal["alias"] = "alias"
    target: str
    serving: Serving
    """The prompt and the retrieval that go with it."""
    version: int
    """Counts its moves; 0 was never moved."""
    created_at: int
    updated_at: int

    @classmethod
    def of(cls, row: Alias) -> "AliasObject":
        """Make it from its record."""
        return cls(
            id=row.name,
            target=row.target,
            serving=Serving.of_json(row.serving),
            version=row.version,
            created_at=row.created_at,
            updated_at=row.updated_at,
        )


class AliasMoveObject(BaseModel):
    """One move of an alias."""

    id: str
    object: Literal["alias.move"] = "alias.move"
    alias: str
    version: int
    source: str | None
    target: str
    serving: Serving
    kind: str
    """created, promoted (by a gate), override (by a person) or rollback."""
    reason: str | None
    gate: str | None
    created_at: int

    @classmethod
    def of(cls, row: AliasMove) -> "AliasMoveObject":
        """Make it from its record."""
        return cls(
            id=f"{row.alias}@{row.version}",
            alias=row.alias,
            version=row.version,
            source=row.source,
            target=row.target,
            serving=Serving.of_json(row.serving),
            kind=row.kind,
            reason=row.reason,
            gate=row.gate_id,
            created_at=row.created_at,
        )


class GateRunObject(BaseModel):
    """A comparison of an adapter with what an alias answers by."""

    id: str
    object: Literal["gate_run"] = "gate_run"
    created_at: int
    started_at: int | None
    finished_at: int | None
    status: str
    """queued, running, completed, failed or cancelled."""
    alias: str
    adapter: str
    """The candidate: an adapter, or `arm:EXPERIMENT:ARM` of an experiment."""
    champion: str | None
    evaluation_file: str
    job: str | None
    verdict: str | None
    """promote, inconclusive or refuse."""
    promoted: bool
    error: dict[str, Any] | None
    report: dict[str, Any] | None
    """Evidence, statistics and reasons; the readable page is at `/v1/gate_runs/{id}/page`."""

    @classmethod
    def of(cls, row: GateRun, *, whole: bool = True) -> "GateRunObject":
        """Make it from its record; a list leaves the report out."""
        return cls(
            id=row.id,
            created_at=row.created_at,
            started_at=row.started_at,
            finished_at=row.finished_at,
            status=row.status,
            alias=row.alias,
            adapter=row.adapter_id,
            champion=row.champion,
            evaluation_file=row.evaluation_file,
            job=row.job_id,
            verdict=row.verdict,
            promoted=row.promoted,
            error=row.error,
            report=row.report if whole else None,
        )
