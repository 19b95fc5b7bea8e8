"""`/v1/usage`: what the project used, by month and key."""

from typing import Annotated, Literal

from fastapi import APIRouter, Depends, Query
from pydantic import BaseModel
from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.records import Usage
from cluster.tenancy import acting_project
from deployments.gateway.parameters import known_parameters
from deployments.gateway.services import Services, services

__all__ = ["router"]

router = APIRouter(prefix="/v1/usage", tags=["Usage"], dependencies=[Depends(known_parameters)])
_MONTHS = 24


class UsageFigures(BaseModel):
    """Requests that were answered, and their tokens."""

    requests: int
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cost: float
    """In the currency of `tracing.prices`."""


class KeyUsage(UsageFigures):
    """Of one key."""

    key_id: str


class MonthUsage(UsageFigures):
    """Of one month, by key."""

    object: Literal["usage.month"] = "usage.month"
    month: str
    """In UTC, as `2026-11`."""
    keys: list[KeyUsage]


class UsageList(BaseModel):
    """Months, newest first."""

    object: Literal["list"] = "list"
    project_id: str
    data: list[MonthUsage]


@router.get("", summary="Show usage")
async def show_usage(
    parts: Annotated[Services, Depends(services)],
    months: Annotated[int, Query(ge=1, le=_MONTHS, description="So many, newest first.")] = 3,
    key_id: Annotated[str | None, Query(max_length=64, description="Only of this key.")] = None,
) -> UsageList:
    """Tell what the project's keys used. What this replica counted just now is written first."""
    await parts.limiter.ledger.flush()

    def read(session: Session) -> list[Usage]:
        query = select(Usage).where(Usage.project_id == acting_project())
        if key_id is not None:
            query = query.where(Usage.key_id == key_id)
        newest = select(Usage.month).where(Usage.project_id == acting_project()).distinct()
        wanted = list(session.scalars(newest.order_by(Usage.month.desc()).limit(months)))
        return list(session.scalars(query.where(Usage.month.in_(wanted)).order_by(Usage.key_id)))

    rows = await parts.database.run(read, read_only=True)
    found = [
        _month(month, [row for row in rows if row.month == month])
        for month in sorted({row.month for row in rows}, reverse=True)
    ]
    return UsageList(project_id=acting_project(), data=found)


def _month(month: str, rows: list[Usage]) -> MonthUsage:
    keys = [KeyUsage(key_id=row.key_id, **_figures([row])) for row in rows]
    return MonthUsage(month=month, keys=keys, **_figures(rows))


def _figures(rows: list[Usage]) -> dict[str, float]:
    prompt, completion = (
        sum(row.prompt_tokens for row in rows),
        sum(row.completion_tokens for row in rows),
    )
    return {
        "requests": sum(row.requests for row in rows),
        "prompt_tokens": prompt,
        "completion_tokens": completion,
        "total_tokens": prompt + completion,
        "cost": sum(row.cost for row in rows),
    }
