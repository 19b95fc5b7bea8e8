"""`/v1/alerts`: what a person should look at, and how telling of it goes."""

from typing import Annotated, Any, Literal
from urllib.parse import urlsplit

from fastapi import APIRouter, Depends, Query
from pydantic import AfterValidator, BaseModel
from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.ids import new_id
from cluster.records import Alert, now
from deployments.alerts.delivery import TEST_KIND
from deployments.errors import InvalidRequest, NotFound
from deployments.gateway.pages import Page, PageQuery, PageQueryDependency, take_page
from deployments.gateway.parameters import known_parameters
from deployments.gateway.services import Services, services

__all__ = ["router"]

router = APIRouter(prefix="/v1/alerts", tags=["Alerts"], dependencies=[Depends(known_parameters)])
Parts = Annotated[Services, Depends(services)]
Status = Literal["open", "acknowledged", "resolved"]


def _origin(url: str) -> str:
    parts = urlsplit(url)
    return f"{parts.scheme}://{parts.netloc.rpartition('@')[2]}"


class DeliveryObject(BaseModel):
    """How telling one webhook goes."""

    id: str
    url: Annotated[str, AfterValidator(_origin)]
    """Scheme and host: the rest, which often is a secret, stands in the operator's settings."""
    attempts: int
    delivered_at: int | None
    error: str | None
    """Of the last attempt."""
    try_at: int | None
    """When it is tried next; null once it arrived or is given up."""


class AlertObject(BaseModel):
    """An alert."""

    id: str
    object: Literal["alert"] = "alert"
    kind: str
    source: str
    """Id of the monitor or experiment that raised it."""
    title: str
    body: dict[str, Any]
    status: Status
    deliveries: list[DeliveryObject]
    """Empty until the first attempt, and where no webhook wants it."""
    created_at: int
    updated_at: int

    @classmethod
    def of(cls, row: Alert) -> "AlertObject":
        """Make it from its record."""
        return cls.model_validate(
            {
                "id": row.id,
                "kind": row.kind,
                "source": row.source_id,
                "title": row.title,
                "body": row.body,
                "status": row.status,
                "deliveries": row.deliveries,
                "created_at": row.created_at,
                "updated_at": row.updated_at,
            }
        )


@router.get("", summary="List alerts")
async def list_alerts(
    parts: Parts,
    page: Annotated[PageQuery, Depends(PageQueryDependency)],
    status: Annotated[Status | None, Query(description="Only these.")] = None,
    kind: Annotated[str | None, Query(max_length=64, description="Such as `drift`.")] = None,
    source: Annotated[str | None, Query(max_length=64, description="Whose.")] = None,
) -> Page[AlertObject]:
    """List alerts, newest first."""

    def read(session: Session) -> Page[AlertObject]:
        query = select(Alert)
        for column, wanted in (
            (Alert.status, status),
            (Alert.kind, kind),
            (Alert.source_id, source),
        ):
            if wanted is not None:
                query = query.where(column == wanted)
        rows, has_more = take_page(session, query, Alert.id, page)
        return Page[AlertObject].of([AlertObject.of(row) for row in rows], has_more=has_more)

    return await parts.database.run(read, read_only=True)


@router.post("/test", summary="Test the delivery of alerts", status_code=201)
async def test_delivery(parts: Parts) -> AlertObject:
    """Raise an alert of kind `test`, which goes to every webhook; retrieve it to see how."""
    if not parts.settings.alerts.webhooks:
        raise InvalidRequest(
            "There is no webhook to test; the setting alerts.webhooks names them.",
            code="no_webhook",
        )

    def make(session: Session) -> AlertObject:
        row = Alert(
            id=new_id("alert"),
            kind=TEST_KIND,
            source_id="operator",
            title="A test of alerts",
            body={},
            status="resolved",
        )
        session.add(row)
        session.flush()
        return AlertObject.of(row)

    return await parts.database.run(make)


@router.get("/{alert_id}", summary="Retrieve an alert")
async def retrieve_alert(alert_id: str, parts: Parts) -> AlertObject:
    """Describe one alert, and how its deliveries went."""
    return await parts.database.run(
        lambda session: AlertObject.of(_find(session, alert_id)), read_only=True
    )


@router.post("/{alert_id}/acknowledge", summary="Acknowledge an alert")
async def acknowledge_alert(alert_id: str, parts: Parts) -> AlertObject:
    """Say that somebody looks at it. It is not raised anew before it is resolved."""
    return await _moved(parts, alert_id, "acknowledged")


@router.post("/{alert_id}/resolve", summary="Resolve an alert")
async def resolve_one(alert_id: str, parts: Parts) -> AlertObject:
    """Close it. What raised it may raise a new one."""
    return await _moved(parts, alert_id, "resolved")


async def _moved(parts: Services, alert_id: str, status: Status) -> AlertObject:
    def change(session: Session) -> AlertObject:
        row = _find(session, alert_id, lock=True)
        if row.status == "resolved" and status != "resolved":
            raise InvalidRequest(f"The alert {row.id} is resolved already.", code="alert_resolved")
        row.status, row.updated_at = status, now()
        return AlertObject.of(row)

    return await parts.database.run(change)


def _find(session: Session, alert_id: str, *, lock: bool = False) -> Alert:
    row = session.get(Alert, alert_id, with_for_update=lock)
    if row is None:
        raise NotFound(f"No such alert: {alert_id[:128]}.", param="alert_id", code="not_found")
    return row
