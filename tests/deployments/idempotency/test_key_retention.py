"""Old keys go."""

from typing import Any, cast

from sqlalchemy import select

from cluster.database import Database
from cluster.records import IdempotencyKey, now
from cluster.settings import IdempotencySettings, Settings
from deployments.idempotency.retention import KeyRetentionDuty
from deployments.monitor.duty import MonitorParts


def _add(database: Database, key: str, project: str = "proj_a", **values: Any) -> None:
    row = {"route": "r", "request_digest": "", "attempt": "a", "status": 200, **values}
    with database.session() as session:
        session.add(IdempotencyKey(key=key, project_id=project, **row))


def _duty(database: Database, settings: Settings, **values: Any) -> KeyRetentionDuty:
    changed = settings.model_copy(update={"idempotency": IdempotencySettings(**values)})
    nothing = cast(Any, None)
    parts = MonitorParts(changed, database, nothing, nothing, nothing, nothing, nothing, {})
    return KeyRetentionDuty(parts)


def _left(database: Database) -> set[str]:
    with database.session(read_only=True) as session:
        return set(session.scalars(select(IdempotencyKey.key)))


async def test_keys_past_their_time_go_and_those_in_work_stay(
    database: Database, settings: Settings
) -> None:
    old = now() - 7300
    _add(database, "old", created_at=old)
    _add(database, "new")
    _add(database, "works", created_at=old, status=None, lease_until=now() + 60)
    await _duty(database, settings, keep_hours=2).turn()
    assert _left(database) == {"new", "works"}


async def test_a_project_keeps_its_newest(database: Database, settings: Settings) -> None:
    for number in range(103):
        _add(database, f"k{number}", created_at=now() - 1000 + number)
    _add(database, "other", project="proj_b", created_at=now() - 2000)
    await _duty(database, settings, max_keys=100).turn()
    left = _left(database)
    assert len(left) == 101
    assert not {"k0", "k1", "k2"} & left
