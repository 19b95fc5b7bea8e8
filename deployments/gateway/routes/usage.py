"""`/v1/usage`: what the project used, by month, key and model."""

from typing import Annotated, Any, Literal

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
    """Requests, and the tokens of the calls to models that were made for them."""

    requests: int
    """Every one that counts against `requests_per_minute`, however it was answered."""
    prompt_tokens: int
    completion_tokens: int
    total_tokens: int
    cost: float
    """In the currency of `tracing.prices`."""


class ModelUsage(UsageFigures):
    """Of one model. Tokens of judges count here as theirs, without a request."""

    model: str | None
    """Null: requests that asked none."""


class KeyUsage(UsageFigures):
    """Of one key, by model."""

    key_id: str
    """`system`: Everloop's own parts, such as runs of evals and shadow arms."""
    models: list[ModelUsage]


class MonthUsage(UsageFigures):
    """Of one month, by key and by model."""

    object: Literal["usage.month"] = "usage.month"
    month: str
    """In UTC, as `2026-11`."""
    keys: list[KeyUsage]
    models: list[ModelUsage]


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
    """Tell what the project's keys used, of which models.

    What this replica counted just now is written first; this request counts once it is answered.
    """
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
    keys = []
    for key_id in sorted({row.key_id for row in rows}):
        own = [row for row in rows if row.key_id == key_id]
        keys.append(KeyUsage(key_id=key_id, models=_models(own), **_figures(own)))
    return MonthUsage(month=month, keys=keys, models=_models(rows), **_figures(rows))


def _models(rows: list[Usage]) -> list[ModelUsage]:
    return [
        ModelUsage(model=name or None, **_figures([row for row in rows if row.model == name]))
        for name in sorted({row.model for row in rows})
    ]


def _figures(rows: list[Usage]) -> dict[str, Any]:
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
