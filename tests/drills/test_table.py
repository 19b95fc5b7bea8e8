"""What a run of the drills tells, and in which order its drills come."""

import json
from dataclasses import dataclass
from pathlib import Path
from random import Random
from typing import Any

from rich.console import Console

from tests.drills.__main__ import DRILLS, plan
from tests.drills.drill import Hit, Outcome
from tests.drills.scene import Scene
from tests.drills.table import Report, rows_of


def outcome(drill: str = "kill", **changes: Any) -> Outcome:
    values: dict[str, Any] = {
        "drill": drill,
        "seed": "1:1:kill",
        "what": "pid 1",
        "sent": 10,
        "failed": 2,
        "reasons": {"chat: 503": 2},
        "acknowledged": 5,
        "lost": [],
        "recovery_s": 4.0,
    }
    return Outcome(**{**values, **changes})


def test_runs_of_a_drill_are_one_row() -> None:
    (row,) = rows_of([outcome(), outcome(recovery_s=8.0), outcome(recovery_s=None, lost=["x"])])
    assert (row.times, row.sent, row.failed, row.acknowledged, row.lost) == (3, 30, 6, 15, 1)
    assert (row.median_s, row.longest_s, row.not_recovered) == (6.0, 8.0, 1)


def test_a_loss_a_drill_that_hangs_and_a_loss_at_the_end_are_failures(tmp_path: Path) -> None:
    assert Report(1, [outcome()], [], []).good
    assert not Report(1, [outcome(lost=["file-1 is gone"])], [], []).good
    assert not Report(1, [outcome(recovery_s=None)], [], []).good
    assert not Report(1, [outcome(problem="2 requests never ended")], [], []).good
    assert not Report(1, [outcome()], [], ["file-1 is gone"]).good


def test_the_report_names_what_was_lost_and_what_did_not_run(tmp_path: Path) -> None:
    report = Report(1, [outcome(lost=["file-1 is gone"])], [("full disk", "no disk")], [])
    console = Console(record=True, width=120)
    report.show(console)
    told = console.export_text()
    assert "file-1 is gone" in told
    assert "Not run: full disk (no disk)." in told
    report.write(tmp_path / "drills.json")
    kept = json.loads((tmp_path / "drills.json").read_text())
    assert kept["good"] is False
    assert kept["rows"][0]["lost"] == 1


@dataclass(frozen=True)
class Named:
    name: str
    every: int
    bound_s: float = 1.0

    def missing(self, scene: Scene) -> str:
        return ""

    def strike(self, scene: Scene, random: Random) -> Hit:
        raise NotImplementedError


def test_long_drills_take_part_in_every_so_many_rounds() -> None:
    drills = [Named("short", 1), Named("long", 4)]
    ran = [drill.name for drill, _ in plan(drills, 1, 8, every=True)]
    assert (ran.count("short"), ran.count("long")) == (8, 2)
    assert [d.name for d, _ in plan([drills[1]], 1, 2, every=False)] == ["long", "long"]


def test_the_order_and_every_seed_follow_from_the_seed() -> None:
    drills = [Named(f"drill {n}", 1) for n in range(9)]
    first = list(plan(drills, 1, 2, every=True))
    assert first == list(plan(drills, 1, 2, every=True))
    assert first != list(plan(drills, 2, 2, every=True))
    assert len({seed for _, seed in first}) == len(first)


def test_no_two_drills_share_a_name() -> None:
    assert len({drill.name for drill in DRILLS}) == len(DRILLS)
