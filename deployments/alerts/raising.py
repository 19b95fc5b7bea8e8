"""How an alert comes to be and ends: a row, in the transaction of what it tells of."""

from typing import Any

from sqlalchemy import select
from sqlalchemy.orm import Session

from cluster.ids import new_id
from cluster.records import Alert, now

__all__ = ["raise_alert", "resolve_alert"]


def raise_alert(
    session: Session, *, kind: str, source_id: str, title: str, body: dict[str, Any]
) -> str:
    """Raise an alert, to be delivered soon; returns its id.

    Until one of this kind and source is resolved, that one is brought up to date and told again to
    nobody.
    """
    found = _unresolved(session, kind, source_id)
    if found is not None:
        found.title, found.body, found.updated_at = title, body, now()
        return found.id
    alert = Alert(id=new_id("alert"), kind=kind, source_id=source_id, title=title, body=body)
    session.add(alert)
    return alert.id


def resolve_alert(session: Session, *, kind: str, source_id: str) -> str | None:
    """Resolve what this source has raised; its id, or None where nothing was open."""
    found = _unresolved(session, kind, source_id)
    if found is None:
        return None
    found.status, found.updated_at = "resolved", now()
    return found.id


def _unresolved(session: Session, kind: str, source_id: str) -> Alert | None:
    return session.scalar(
        select(Alert).where(
            Alert.kind == kind,
            Alert.source_id == source_id,
            Alert.status != "resolved",
        )
    )
