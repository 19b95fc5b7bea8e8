"""What judges said is remembered, within bounds."""

from sqlalchemy import select, update

from cluster.database import Database
from cluster.records import JudgeVerdict, now
from deployments.evaluation.runs.verdicts import StoredVerdicts


def _keys(database: Database) -> list[str]:
    with database.session(read_only=True) as session:
        return sorted(session.scalars(select(JudgeVerdict.key)))


async def test_a_verdict_is_remembered_and_replaced(database: Database) -> None:
    verdicts = StoredVerdicts(database, days=1, most=9)
    assert await verdicts.get("k") is None
    await verdicts.put("k", {"label": "A", "p": float("nan")})
    assert await verdicts.get("k") == {"label": "A", "p": None}
    await verdicts.put("k", {"label": "B"})
    assert await verdicts.get("k") == {"label": "B"}


async def test_old_and_too_many_go(database: Database) -> None:
    verdicts = StoredVerdicts(database, days=1, most=2)
    for number in range(4):
        await verdicts.put(f"k{number}", {})
    with database.session() as session:
        for number, age in enumerate((90_000, 30, 20, 10)):
            session.execute(
                update(JudgeVerdict)
                .where(JudgeVerdict.key == f"k{number}")
                .values(created_at=now() - age)
            )
    assert await verdicts.get("k0") is None, "it is too old"
    assert await verdicts.sweep() == 2
    assert _keys(database) == ["k2", "k3"]
    assert await verdicts.sweep() == 0
