"""What the experiments' routes answer."""

from typing import Any, Literal

from pydantic import BaseModel

from cluster.records import Experiment, ExperimentEvent

__all__ = ["ExperimentEventObject", "ExperimentObject"]


class ExperimentObject(BaseModel):
    """Arms that share the traffic of an alias, and what was found out about them."""

    id: str
    object: Literal["experiment"] = "experiment"
    created_at: int
    started_at: int | None
    ended_at: int | None
    name: str
    status: str
    """draft, running, decided or stopped."""
    alias: str
    arms: list[dict[str, Any]]
    """The control first; once it runs, with everything that the alias had."""
    settings: dict[str, Any]
    share: float
    """Of the alias's traffic that is in the experiment."""
    stopped_arms: dict[str, Any]
    """By name: why, by whom and when."""
    decision: dict[str, Any] | None
    """`outcome` and `reason`, with the winning `arm`."""
    promotion: dict[str, Any] | None
    report: dict[str, Any] | None
    """By arm: users, requests, mean, rates of faults, difference to the control with its confidence
    sequence; sample ratio; users expected to be needed. A list leaves it out."""
    metadata: dict[str, Any]

    @classmethod
    def of(cls, row: Experiment, *, whole: bool = True) -> "ExperimentObject":
        """Make it from its record."""
        return cls(
            id=row.id,
            created_at=row.created_at,
            started_at=row.started_at,
            ended_at=row.ended_at,
            name=row.name,
            status=row.status,
            alias=row.alias,
            arms=row.arms,
            settings=row.settings,
            share=row.state["share"],
            stopped_arms=row.state["stopped"],
            decision=row.decision,
            promotion=row.promotion,
            report=row.report if whole else None,
            metadata=row.meta,
        )


class ExperimentEventObject(BaseModel):
    """Something that happened to an experiment."""

    id: str
    object: Literal["experiment.event"] = "experiment.event"
    created_at: int
    type: str
    message: str
    data: dict[str, Any]

    @classmethod
    def of(cls, row: ExperimentEvent) -> "ExperimentEventObject":
        """Make it from its record."""
        return cls(
            id=row.id,
            created_at=row.created_at,
            type=row.type,
            message=row.message,
            data=row.data,
        )
