"""What the Monitor makes of an experiment's traffic, from the records alone."""

import asyncio
from pathlib import Path
from typing import Any, cast

from sqlalchemy import select

from cluster.database import Database
from cluster.records import Alert, Experiment, ExperimentEvent, GateRun
from cluster.settings import Settings
from cluster.tenancy import acting_in
from deployments.experiments.duty import ExperimentDuty
from deployments.monitor.duty import MonitorParts
from tests.deployments.experiments.traffic import Traffic, start_experiment

SCORED = {"metric": {"name": "score:quality", "wait_s": 1.0}}
GATE = {"mode": "gate", "evaluation_file": "file-1", "gate": {"seed": 3}}


class Trainer:
    """Counts how often it was told to look."""

    def __init__(self) -> None:
        self.woken = 0

    async def wake(self) -> None:
        self.woken += 1


class Watched:
    """A duty whose clock the test sets."""

    def __init__(self, database: Database, folder: Path) -> None:
        self.database = database
        self.trainer = Trainer()
        self.at = 0.0
        self._parts = MonitorParts(
            settings=Settings(data_dir=folder),
            database=database,
            storage=cast(Any, None),
            embedder=cast(Any, None),
            evaluator=cast(Any, None),
            trainer=cast(Any, self.trainer),
            ingestor=cast(Any, None),
            models={},
        )
        self.duty = self.anew()

    def anew(self) -> ExperimentDuty:
        """Another one, that knows nothing yet."""
        return ExperimentDuty(self._parts, lambda: self.at)

    async def look(self, at: float) -> None:
        self.at = at
        await self.duty.turn()

    def experiment(self, row: Experiment) -> Experiment:
        with self.database.session(read_only=True) as session:
            return session.get_one(Experiment, row.id)

    def events(self) -> list[str]:
        with self.database.session(read_only=True) as session:
            query = select(ExperimentEvent.type).order_by(ExperimentEvent.id)
            return list(session.scalars(query))

    def alerts(self) -> list[str]:
        with self.database.session(read_only=True) as session:
            return list(session.scalars(select(Alert.kind).order_by(Alert.id)))


async def test_a_winner_goes_through_the_gate(database: Database, tmp_path: Path) -> None:
    row = start_experiment(database, {**SCORED, "promotion": GATE})
    watched, traffic = Watched(database, tmp_path), Traffic(database, row)
    traffic.ask(400, score=lambda arm: 0.9 if arm == "new" else 0.1)
    await watched.look(traffic.at + 3)
    found = watched.experiment(row)
    assert found.status == "decided"
    assert found.decision is not None and found.promotion is not None
    assert (found.decision["outcome"], found.decision["arm"]) == ("winner", "new")
    assert found.report is not None
    assert [arm["observed"] > 150 for arm in found.report["arms"]] == [True, True]
    with database.session() as session:
        gate = session.get_one(GateRun, found.promotion["gate"])
        assert (gate.status, gate.alias, gate.evaluation_file, gate.settings) == (
            "queued",
            "assistant",
            "file-1",
            {"seed": 3},
        )
        assert gate.adapter_id == f"arm:{row.id}:new"
        gate.status, gate.verdict, gate.promoted = "completed", "promote", True
    assert watched.trainer.woken == 1
    await watched.look(traffic.at + 4)
    promotion = watched.experiment(row).promotion
    assert promotion is not None and promotion["status"] == "promoted"
    assert watched.events() == ["created", "started", "decided", "promotion", "promotion"]
    await watched.look(traffic.at + 5)
    assert len(watched.events()) == 5


async def test_a_winner_waits_for_a_person_unless_a_gate_is_wanted(
    database: Database, tmp_path: Path
) -> None:
    row = start_experiment(database, SCORED)
    watched, traffic = Watched(database, tmp_path), Traffic(database, row)
    traffic.ask(400, score=lambda arm: 0.9 if arm == "new" else 0.1)
    await watched.look(traffic.at + 3)
    found = watched.experiment(row)
    assert found.promotion == {"arm": "new", "mode": "manual", "status": "waiting"}
    assert watched.trainer.woken == 0


async def test_two_monitors_stop_an_arm_once(database: Database, tmp_path: Path) -> None:
    row = start_experiment(database, SCORED)
    watched, traffic = Watched(database, tmp_path), Traffic(database, row)
    traffic.ask(80, column=lambda arm: {"status": 500} if arm == "new" else {})
    other = watched.anew()
    watched.at = traffic.at
    await asyncio.gather(watched.duty.turn(), other.turn())
    found = watched.experiment(row)
    assert list(found.state["stopped"]) == ["new"]
    assert found.status == "stopped"
    assert found.report is not None
    stopped = {arm["name"]: arm for arm in found.report["arms"]}["new"]
    assert stopped["requests"] == found.state["stopped"]["new"]["requests"]
    assert watched.events() == ["created", "started", "arm_stopped", "stopped"]
    assert watched.alerts() == ["experiment.arm_stopped"]


async def test_what_all_arms_suffer_from_stops_none(database: Database, tmp_path: Path) -> None:
    row = start_experiment(database, SCORED)
    watched, traffic = Watched(database, tmp_path), Traffic(database, row)
    traffic.ask(200, column=lambda _arm: {"status": 503})
    await watched.look(traffic.at)
    assert watched.experiment(row).state["stopped"] == {}
    assert watched.events() == ["created", "started", "guardrail_shared"]
    traffic.ask(60)  # it is over for the control, but not for the arm
    traffic.ask(80, column=lambda arm: {"status": 503} if arm == "new" else {})
    await watched.look(traffic.at)
    assert list(watched.experiment(row).state["stopped"]) == ["new"]


async def test_a_restart_comes_to_the_same(database: Database, tmp_path: Path) -> None:
    row = start_experiment(database, SCORED)
    watched, traffic = Watched(database, tmp_path), Traffic(database, row)
    for _ in range(5):
        traffic.ask(20, score=lambda _arm: traffic.random.random())
        await watched.look(traffic.at)
    await watched.look(traffic.at + 3)
    before = watched.experiment(row).report
    assert before is not None and before["observed"] == 100
    watched.duty = watched.anew()
    await watched.look(traffic.at + 4)
    after = watched.experiment(row).report
    assert after is not None
    assert {**after, "at": 0} == {**before, "at": 0}


async def test_more_traffic_is_let_in_as_planned(database: Database, tmp_path: Path) -> None:
    ramp = [{"share": 0.2, "units": 20}, {"share": 0.5, "seconds": 60}, {"share": 1.0}]
    row = start_experiment(database, {**SCORED, "ramp": ramp})
    watched, traffic = Watched(database, tmp_path), Traffic(database, row)
    traffic.ask(40)
    await watched.look(traffic.at)
    assert watched.experiment(row).state["share"] == 0.2
    traffic.ask(200)
    await watched.look(traffic.at + 2)
    stepped = watched.experiment(row)
    assert stepped.state["share"] == 0.5
    await watched.look(stepped.state["step_at"] + 30)
    assert watched.experiment(row).state["share"] == 0.5
    await watched.look(stepped.state["step_at"] + 61)
    assert watched.experiment(row).state["share"] == 1.0
    assert watched.events() == ["created", "started", "ramped", "ramped"]


async def test_a_split_that_is_off_raises_one_alarm_and_lets_nobody_win(
    database: Database, tmp_path: Path
) -> None:
    row = start_experiment(database, SCORED)
    watched, traffic = Watched(database, tmp_path), Traffic(database, row)
    for _ in range(2):
        traffic.ask(
            300,
            score=lambda arm: 0.9 if arm == "new" else 0.1,
            arm_of=lambda _user: "new" if traffic.random.random() < 0.8 else "control",
        )
        await watched.look(traffic.at + 3)
    found = watched.experiment(row)
    assert found.status == "running"
    assert found.report is not None and found.report["sample_ratio"]["alarm"]
    assert found.report["outcome"] == "blocked"
    assert watched.alerts() == ["experiment.sample_ratio"]
    assert watched.events().count("sample_ratio") == 1


async def test_it_ends_without_a_winner_when_its_time_is_up(
    database: Database, tmp_path: Path
) -> None:
    row = start_experiment(database, {**SCORED, "max_hours": 1})
    watched, traffic = Watched(database, tmp_path), Traffic(database, row)
    traffic.ask(20, score=lambda _arm: 0.5)
    await watched.look(traffic.at + 3)
    assert watched.experiment(row).status == "running"
    await watched.look(traffic.at + 3700)
    found = watched.experiment(row)
    assert found.decision is not None and found.decision["outcome"] == "undecided"
    assert (found.status, found.promotion) == ("decided", None)


async def test_what_it_makes_belongs_to_the_experiments_project(
    database: Database, tmp_path: Path
) -> None:
    with acting_in("proj_theirs"):
        row = start_experiment(database, {**SCORED, "promotion": GATE})
        traffic = Traffic(database, row)
        traffic.ask(400, score=lambda arm: 0.9 if arm == "new" else 0.1)
    watched = Watched(database, tmp_path)
    await watched.look(traffic.at + 3)
    assert "decided" in watched.events()
    with database.session() as session:
        made = {*session.scalars(select(ExperimentEvent.project_id))}
        made |= {*session.scalars(select(GateRun.project_id))}
    assert made == {"proj_theirs"}
