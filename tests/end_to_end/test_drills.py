"""The drills' own users on the real system, and one drill of each way to break a process."""

from random import Random

import pytest

from tests.drills.drill import run_drill
from tests.drills.processes import EMBEDDER, How, ProcessDrill
from tests.drills.promises import broken_promises
from tests.drills.scene import Scene
from tests.drills.surroundings import Surroundings
from tests.drills.traffic import OPERATIONS, User, make_alias
from tests.fixtures.system import System

pytestmark = [pytest.mark.end_to_end]


@pytest.fixture(scope="module")
def scene(system: System) -> Scene:
    """The running system, of which nothing but processes can be taken away."""
    found = Scene.of(system, Surroundings(running_system=True))
    make_alias(found.patient)
    return found


def test_what_each_operation_is_promised_is_kept(scene: Scene, store: str) -> None:
    user = User(scene.patient, scene.ledger, Random("end to end"), store)
    for operation in OPERATIONS:
        getattr(user, operation)()
    kinds = {"Upload", "Document", "StoredAnswer", "Feedback", "AliasMove", "LabelMove", "EvalRun"}
    assert set(scene.ledger.counts()) == kinds
    assert broken_promises(scene.patient, scene.ledger.since(), 60) == []


@pytest.mark.parametrize("how", ["kill -9", "pause"])
def test_a_drill_breaks_a_process_and_finds_all_that_was_acknowledged(
    scene: Scene, how: How
) -> None:
    seed = f"1:3:{how}"  # breaks it early, pauses it for 1.6 s
    outcome = run_drill(ProcessDrill(EMBEDDER, how, 120, 1), scene, seed)
    assert outcome.good, outcome
    assert outcome.sent > 0
