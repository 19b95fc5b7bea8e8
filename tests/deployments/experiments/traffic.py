"""Traces of an experiment's requests, as the gateway would have written them."""

import random
from collections.abc import Callable, Mapping, Sequence
from typing import Any

from cluster.database import Database
from cluster.records import Experiment, Trace, TraceScore
from deployments.experiments import changes
from deployments.experiments.arms import Arm, Split
from deployments.experiments.plan import Plan
from deployments.experiments.requests import id_at

__all__ = ["ARMS", "Traffic", "start_experiment"]

ARMS = (Arm(name="control"), Arm(name="new", prompt="p@0123456789ab"))


def start_experiment(
    database: Database, settings: Mapping[str, Any], arms: Sequence[Arm] = ARMS
) -> Experiment:
    """Make one that runs on the alias `assistant`."""
    plan = Plan.model_validate(settings)
    with database.session() as session:
        row = changes.make_experiment(
            session, name="", alias="assistant", arms=arms, plan=plan, meta={}
        )
        changes.start(session, row, arms, 0)
    return row


class Traffic:
    """Users' requests, one every `every_s`, from the experiment's start on."""

    def __init__(self, database: Database, row: Experiment, every_s: float = 0.02) -> None:
        self.at = float(row.started_at or 0)
        """When the next request begins."""
        self._database = database
        self._row = row
        self._every_s = every_s
        self._count = 0
        self.random = random.Random(7)

    def ask(
        self,
        users: int,
        score: Callable[[str], float | None] = lambda _arm: None,
        column: Callable[[str], dict[str, Any]] = lambda _arm: {},
        arm_of: Callable[[str], str | None] | None = None,
    ) -> None:
        """One request of each of so many new users: the arm's score, and columns of its trace."""
        with self._database.session() as session:
            split = Split.of(session.get_one(Experiment, self._row.id))
            for _ in range(users):
                self._count += 1
                user = f"user_{self._count}"
                chosen = split.arm_of(user)
                arm = chosen.name if chosen is not None else None
                if arm_of is not None:
                    arm = arm_of(user)
                at, self.at = self.at, self.at + self._every_s
                if arm is None:
                    continue
                trace_id = f"{id_at(at)}{self._count:019x}"
                values = {"status": 200, "duration_ms": 5.0, **column(arm)}
                session.add(
                    Trace(
                        id=trace_id,
                        request_id=f"req_{self._count}",
                        route="/v1/chat/completions",
                        user_id=user,
                        experiment_id=self._row.id,
                        arm=arm,
                        created_at=int(at),
                        **values,
                    )
                )
                if (value := score(arm)) is not None:
                    session.add(
                        TraceScore(
                            trace_id=trace_id,
                            name="quality",
                            value=value,
                            evaluator="test",
                            created_at=int(at),
                        )
                    )
