"""The audit log: who changed what, written in the transaction that changes it.

Each project has a chain: an event's digest covers the digest before it, and the chain's head says
how many events there are and how it ends. So an event that was changed, taken out, put in or cut
off at the end is noticed, unless whoever did it could rewrite all that follows and the head too:
against that, keep an export elsewhere.
"""

import hashlib
import json
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Final

from sqlalchemy import select

from cluster.actor import current_actor
from cluster.inserting import insert_missing
from cluster.records import AuditEvent, AuditHead, now
from cluster.tenancy import acting_in, acting_project

if TYPE_CHECKING:
    from sqlalchemy.orm import Session

__all__ = ["COVERED", "ChainCheck", "check_chain", "event_digest", "record", "verify"]

COVERED: Final = (
    "project_id",
    "actor",
    "action",
    "object_id",
    "request_id",
    "detail",
    "previous",
    "created_at",
)
"""What an event's digest covers."""
_BATCH: Final = 1000


@dataclass(frozen=True, slots=True)
class ChainCheck:
    """What became of a chain."""

    events: int
    """That were read, to the first one that is broken."""
    head: str | None
    """Digest of the last one that is as it was written."""
    broken: int | None = None
    """Number of the first one that is not; None where all are, or where the end is missing."""
    reason: str | None = None
    """Why the chain does not hold; None where it does."""


def record(
    session: "Session",
    action: str,
    object_id: str,
    *,
    project_id: str | None = None,
    **detail: Any,
) -> None:
    """Write that something is changed, in the transaction that changes it.

    The project's events queue for the head of its chain until their transactions end; so do this
    late in them. PostgreSQL lets a queue last for its `lock_timeout`, SQLite for its busy time-out.
    `detail` is what JSON can say; what is None is left out, and fractions are kept as text, because
    databases write numbers in ways of their own.
    """
    actor, project = current_actor(), project_id or acting_project()
    with acting_in(project):
        insert_missing(session, AuditHead, [{"project_id": project, "events": 0}])
        head = session.scalars(
            select(AuditHead)
            .where(AuditHead.project_id == project)
            .with_for_update()
            .execution_options(populate_existing=True)
        ).one()
        event = AuditEvent(
            project_id=project,
            actor=actor.name,
            action=action,
            object_id=object_id[:256],
            request_id=actor.request_id,
            detail={key: _plain(value) for key, value in detail.items() if value is not None},
            previous=head.digest,
            created_at=now(),
        )
        event.digest = event_digest({name: getattr(event, name) for name in COVERED})
        head.digest, head.events = event.digest, head.events + 1
        session.add(event)
        session.flush()


def event_digest(event: Mapping[str, Any]) -> str:
    """SHA-256, hex, of what `COVERED` names, as JSON with sorted keys and without spaces."""
    covered = {name: event[name] for name in COVERED}
    text = json.dumps(covered, sort_keys=True, separators=(",", ":"))
    return hashlib.sha256(text.encode()).hexdigest()


def check_chain(events: Iterable[Mapping[str, Any]]) -> ChainCheck:
    """Recompute a chain from its first event on. An event has COVERED, `digest` and `number`."""
    count, head = 0, None
    for event in events:
        count += 1
        number = int(event["number"])
        if event["previous"] != head:
            said = "An event before it is missing, or was put in or moved."
            return ChainCheck(count, head, number, said)
        if event["digest"] != event_digest(event):
            return ChainCheck(count, head, number, "It is not as it was written.")
        head = str(event["digest"])
    return ChainCheck(count, head)


def verify(session: "Session", project_id: str) -> ChainCheck:
    """Recompute a project's chain, and hold its end to the head. Its transaction reads only this.

    It sees one moment, whoever writes meanwhile, and holds nobody up.
    """
    if session.get_bind().dialect.name != "sqlite":  # whose readers see one moment anyway
        session.connection(execution_options={"isolation_level": "REPEATABLE READ"})
    with acting_in(project_id):
        columns = [getattr(AuditEvent, name) for name in (*COVERED, "digest", "number")]
        query = select(*columns).where(AuditEvent.project_id == project_id)
        rows = session.execute(
            query.order_by(AuditEvent.number).execution_options(yield_per=_BATCH)
        )
        found = check_chain(row._asdict() for row in rows)
        head = session.get(AuditHead, project_id)
    events, digest = (0, None) if head is None else (head.events, head.digest)
    if found.reason is None and (found.events, found.head) != (events, digest):
        said = f"There are {found.events} events and there should be {events}: the end differs."
        return ChainCheck(found.events, found.head, None, said)
    return found


def _plain(value: Any) -> Any:
    if isinstance(value, float):
        return repr(value)
    if isinstance(value, Mapping):
        return {str(key): _plain(item) for key, item in value.items()}
    if isinstance(value, list | tuple | set | frozenset):
        items = [_plain(item) for item in value]
        return sorted(items) if isinstance(value, set | frozenset) else items
    return value
