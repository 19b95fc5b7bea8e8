"""Breaks a running Everloop on purpose, and looks for what it had acknowledged: `make drill`.

    python -m tests.drills [--seed 1] [--rounds 1] [--only NAME]… [--stores embedded|servers]
                           [--json PATH] [--base-url URL --data-dir FOLDER]

One real system of its own, on ports of its own, unless `--base-url` names one that is up (with its
`--data-dir`, by which its processes are known; `E2E_BASE_URL` and `E2E_DATA_DIR` say the same).
Ends with 1 where anything acknowledged was lost or a drill had not recovered in its bound.
"""

import argparse
import os
import sys
import tempfile
from collections.abc import Callable, Iterator, Sequence
from pathlib import Path
from random import Random
from typing import Final

from rich.console import Console

from tests.drills.clock import ClockJump
from tests.drills.crashes import CRASHES, crash
from tests.drills.documents import LargeDocument, PoisonDocument, PoisonPrompt
from tests.drills.drill import Drill, Outcome, run_drill
from tests.drills.processes import PROCESS_DRILLS
from tests.drills.promises import broken_promises
from tests.drills.scene import Scene
from tests.drills.stores import BadWayToBytes, DeadPostgres, FullDisk, LockedDatabase
from tests.drills.surroundings import running_system
from tests.drills.table import Report
from tests.drills.traffic import make_alias
from tests.drills.whole import DeadRaylet, DeadTrainingWorker

__all__ = ["DRILLS", "main"]

DRILLS: Final[tuple[Drill, ...]] = (
    *PROCESS_DRILLS,
    LockedDatabase(),
    FullDisk(),
    DeadPostgres(),
    BadWayToBytes(),
    ClockJump(),
    PoisonDocument(),
    LargeDocument(),
    PoisonPrompt(),
    DeadTrainingWorker(),
    DeadRaylet(),
)
_CRASHES_A_ROUND: Final = 10
_CRASH: Final = "crash of a writer: "
_SETTLE_S: Final = 60.0
_LOG_COLUMNS: Final = 120


def main() -> int:
    """Run what was asked for and report; 0, or 1 where a bar was missed."""
    options = _options()
    console = Console(width=None if sys.stdout.isatty() else _LOG_COLUMNS)
    report = run(options, lambda told: console.print(told, markup=False, highlight=False))
    report.show(console)
    if options.json:
        report.write(options.json)
    return 0 if report.good else 1


def run(options: argparse.Namespace, tell: Callable[[str], None]) -> Report:
    """Run the drills that the options name, the quick ones first."""
    wanted = [drill for drill in DRILLS if _chosen(options, drill.name)]
    outcomes = list(_crashes(options, tell))
    left_out: list[tuple[str, str]] = []
    lost: list[str] = []
    if wanted:
        with running_system(options.stores, options.base_url, options.data_dir) as found:
            scene = Scene.of(*found)
            left_out = [(drill.name, why) for drill in wanted if (why := drill.missing(scene))]
            unable = {name for name, _ in left_out}
            able = [drill for drill in wanted if drill.name not in unable]
            make_alias(scene.patient)
            try:
                for drill, seed in plan(able, options.seed, options.rounds, every=not options.only):
                    outcomes.append(run_drill(drill, scene, seed))
                    tell(_line(outcomes[-1]))
            except KeyboardInterrupt:
                left_out.append(("what was to come", "interrupted"))
            promises = scene.ledger.since()
            tell(f"Looking for all that was acknowledged: {scene.ledger.counts()}")
            lost = broken_promises(scene.patient, promises, _SETTLE_S)
            ran = {outcome.drill for outcome in outcomes}
            left_out += [
                (drill.name, f"in every {drill.every} rounds")
                for drill in able
                if drill.name not in ran
            ]
    return Report(options.seed, outcomes, left_out, lost)


def plan(
    drills: Sequence[Drill], seed: int, rounds: int, *, every: bool
) -> Iterator[tuple[Drill, str]]:
    """Each drill with the seed of its run, in an order that the seed says.

    `every`: the long ones take part in every so many rounds only, as they say.
    """
    for number in range(1, rounds + 1):
        due = [drill for drill in drills if not every or number % drill.every == 0]
        Random(f"{seed}:{number}").shuffle(due)
        for drill in due:
            yield drill, f"{seed}:{number}:{drill.name}"


def _crashes(options: argparse.Namespace, tell: Callable[[str], None]) -> Iterator[Outcome]:
    for kind in CRASHES:
        if not _chosen(options, _CRASH + kind):
            continue
        for number in range(options.rounds * _CRASHES_A_ROUND):
            seed = options.seed * 100_000 + number
            with tempfile.TemporaryDirectory(prefix="everloop-crash-") as folder:
                done = crash(kind, seed, Path(folder))
            yield Outcome(
                drill=_CRASH + kind,
                seed=str(seed),
                what="kill -9",
                sent=0,
                failed=0,
                reasons={},
                acknowledged=done.acknowledged,
                lost=done.lost,
                recovery_s=done.seconds,
            )
        tell(f"{_CRASH}{kind}: {options.rounds * _CRASHES_A_ROUND} times")


def _chosen(options: argparse.Namespace, name: str) -> bool:
    return not options.only or any(part.lower() in name.lower() for part in options.only)


def _line(outcome: Outcome) -> str:
    seconds = "never" if outcome.recovery_s is None else f"{outcome.recovery_s:.1f} s"
    reasons = ", ".join(f"{count}× {why}" for why, count in sorted(outcome.reasons.items()))
    told = f"{outcome.drill} ({outcome.what}): back after {seconds}, "
    told += f"{outcome.failed} of {outcome.sent} requests failed"
    told += f" ({reasons})" if reasons else ""
    return told + f", {len(outcome.lost)} of {outcome.acknowledged} lost"


def _options() -> argparse.Namespace:
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--seed", type=int, default=1)
    parser.add_argument("--rounds", type=int, default=1)
    parser.add_argument(
        "--only", action="append", default=[], metavar="NAME", help="part of a drill's name"
    )
    parser.add_argument("--stores", choices=("embedded", "servers"), default="embedded")
    parser.add_argument("--json", type=Path, metavar="PATH")
    parser.add_argument("--base-url", default=os.environ.get("E2E_BASE_URL"))
    parser.add_argument(
        "--data-dir",
        type=Path,
        default=Path(os.environ.get("E2E_DATA_DIR", "~/.everloop")),
    )
    return parser.parse_args()


if __name__ == "__main__":
    sys.exit(main())
