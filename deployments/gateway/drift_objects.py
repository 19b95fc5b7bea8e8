"""Bodies and objects of `/v1/drift`."""

from typing import Annotated, Any, Literal

from pydantic import BaseModel, ConfigDict, Field

from cluster.records import DriftMonitor, DriftReport
from deployments.drift.dataset import DatasetKind
from deployments.drift.plan import MonitorPlan
from deployments.drift.progress import Progress
from deployments.gateway.bodies import Body, Text
from deployments.gateway.objects import FileObject
from deployments.storable import Count

__all__ = [
    "DatasetCreate",
    "DatasetMade",
    "MonitorCreate",
    "MonitorObject",
    "MonitorUpdate",
    "ReportObject",
]

Name = Annotated[Text, Field(max_length=256)]


class MonitorCreate(Body):
    """Watch requests."""

    model_config = ConfigDict(
        json_schema_extra={
            "examples": [{"name": "assistant", "settings": {"filters": {"alias": "assistant"}}}]
        }
    )
    name: Name = ""
    settings: MonitorPlan = MonitorPlan()


class MonitorUpdate(Body):
    """Change a monitor; what is absent stays."""

    name: Name | None = None
    settings: MonitorPlan | None = None


class DatasetCreate(Body):
    """Make a data set of a topic."""

    topic: Count
    """Its number in the report."""
    kind: DatasetKind
    drafts: bool | None = None
    """Take answers too that no person wrote or accepted; by default eval sets do."""
    filename: Annotated[Text, Field(min_length=1, max_length=255, pattern=r"^[^/\\]+$")] | None = (
        None
    )


class DatasetMade(BaseModel):
    """What was made."""

    object: Literal["drift.dataset"] = "drift.dataset"
    file: FileObject
    kind: DatasetKind
    topic: int
    rows: int
    drafts: int
    """Rows whose answer no person wrote or accepted."""


class MonitorObject(BaseModel):
    """A drift monitor."""

    id: str
    object: Literal["drift.monitor"] = "drift.monitor"
    name: str
    status: Literal["active", "paused"]
    settings: MonitorPlan
    looks: int
    looked_at: int | None
    reference_complete: bool
    """Whether the first requests have come; true for other references."""
    alarmed: list[str]
    """Signals that an alert is open for."""
    error: dict[str, Any] | None
    """Why the last look failed; it is tried again."""
    created_at: int
    updated_at: int

    @classmethod
    def of(cls, row: DriftMonitor) -> "MonitorObject":
        """Make it from its record."""
        plan, progress = MonitorPlan.model_validate(row.settings), Progress.of(row.state)
        return cls.model_validate(
            {
                "id": row.id,
                "name": row.name,
                "status": row.status,
                "settings": plan,
                "looks": progress.looks,
                "looked_at": progress.looked_at,
                "reference_complete": plan.reference.type != "first_requests"
                or progress.reference_until is not None,
                "alarmed": list(progress.persistence.alarmed),
                "error": row.error,
                "created_at": row.created_at,
                "updated_at": row.updated_at,
            }
        )


class ReportObject(BaseModel):
    """One look. The fields of `LookReport` stand beside these."""

    model_config = ConfigDict(extra="allow")

    id: str
    object: Literal["drift.report"] = "drift.report"
    monitor: str
    drifted: bool
    """Some signal is out of bounds."""
    alert: str | None
    """The alert that the look raised or resolved."""
    created_at: int

    @classmethod
    def of(cls, row: DriftReport, *, whole: bool = True) -> "ReportObject":
        """Make it from its record, unless `whole` without the ids of the topics' requests."""
        body = dict(row.body)
        if not whole:
            body["topics"] = [
                {name: value for name, value in topic.items() if name != "traces"}
                for topic in body["topics"]
            ]
        own = {
            "id": row.id,
            "monitor": row.monitor_id,
            "drifted": row.drifted,
            "alert": row.alert_id,
            "created_at": row.created_at,
        }
        return cls.model_validate({**body, **own})
