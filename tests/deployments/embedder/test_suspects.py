"""A text that the Embedder's process dies of is found, refused, and costs others two restarts."""

import os
import subprocess
import sys
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pytest

from deployments.embedder.journal import Journal
from deployments.embedder.suspects import Passes
from deployments.errors import Unprocessable
from ingestion.embedding import Encoded, Window

_NOTHING = np.zeros((0, 1), np.float32)
GOOD, BAD, OTHER = Window((1,), 1), Window((2,), 1), Window((3,), 1)


def killed(journal: Journal) -> None:
    """What the kernel does for a process that is gone."""
    os.close(journal._file)


class Model:
    """Notes its passes, and gives each window its token as a vector."""

    def __init__(self) -> None:
        self.passes: list[list[int]] = []

    def forward(self, windows: Sequence[Window]) -> list[Encoded]:
        self.passes.append([window.ids[0] for window in windows])
        return [Encoded(np.array([w.ids[0]], np.float32), _NOTHING) for w in windows]


class End(BaseException):
    """The process dies here."""


def died(
    folder: Path, windows: Sequence[Window], of: Window, clock: float = 0.0
) -> list[list[int]]:
    """A process that works on `windows` and dies of one; returns its passes."""
    journal = Journal(folder, clock=lambda: clock)
    model, left = Model(), b""

    def forward(given: Sequence[Window]) -> list[Encoded]:
        nonlocal left
        encoded = model.forward(given)
        if of in given:
            left = os.pread(journal._file, 1 << 20, 0)
            raise End
        return encoded

    with pytest.raises(End):
        Passes(journal).run(windows, forward)
    os.pwrite(journal._file, left, 0)  # as it was when it died
    killed(journal)
    return model.passes


def values(encoded: Sequence[Encoded]) -> list[int]:
    return [int(one.vector[0]) for one in encoded]


def test_a_text_that_kills_twice_alone_is_refused_and_the_others_are_done(tmp_path: Path) -> None:
    assert died(tmp_path, [GOOD, BAD], BAD) == [[1, 2]]
    # both are suspect: each runs alone, after what is above suspicion
    assert died(tmp_path, [GOOD, BAD, OTHER], BAD) == [[3], [1], [2]]
    assert died(tmp_path, [BAD, GOOD], BAD) == [[1], [2]]
    journal, model = Journal(tmp_path, clock=lambda: 0.0), Model()
    passes = Passes(journal)
    with pytest.raises(Unprocessable, match="dies of this text") as refused:
        passes.run([GOOD, BAD], model.forward)
    assert (refused.value.code, model.passes) == ("embedding_crashed", [])
    assert values(passes.run([OTHER, GOOD], model.forward)) == [3, 1]


def test_a_process_that_somebody_kills_condemns_no_text(tmp_path: Path) -> None:
    died(tmp_path, [GOOD, OTHER], GOOD)
    died(tmp_path, [GOOD], GOOD)
    for _ in range(2):  # acquitted, and the next process knows it
        journal, model = Journal(tmp_path, clock=lambda: 0.0), Model()
        assert values(Passes(journal).run([GOOD, BAD], model.forward)) == [1, 2]
        killed(journal)
    died(tmp_path, [GOOD], GOOD)  # among others, as far as anybody knows
    journal = Journal(tmp_path, clock=lambda: 0.0)
    assert values(Passes(journal).run([GOOD], Model().forward)) == [1]


def test_deaths_are_held_against_a_text_for_an_hour(tmp_path: Path) -> None:
    for _ in range(3):
        died(tmp_path, [BAD], BAD)
    late, model = Journal(tmp_path, clock=lambda: 3601.0), Model()
    assert values(Passes(late).run([BAD], model.forward)) == [2]


def test_a_process_that_lives_is_not_taken_for_a_dead_one(tmp_path: Path) -> None:
    living = Journal(tmp_path)
    with living.running(["a"], alone=False):
        assert Journal(tmp_path).deaths_alone("a") is None
    living.close()
    assert Journal(tmp_path).deaths_alone("a") is None


def test_half_a_record_is_no_reason_not_to_start(tmp_path: Path) -> None:
    (tmp_path / "deaths.json").write_text('{"a": [1')
    (tmp_path / "running-x").write_bytes(b"000000")
    assert Journal(tmp_path).deaths_alone("a") is None


def test_calls_beside_a_deadly_text_are_done_by_the_fourth_process(tmp_path: Path) -> None:
    """Real processes, really killed."""
    told: dict[str, str] = {}
    calls, deaths = ["one,two", "three,poison", "four"], 0
    while len(told) < len(calls):
        command = [sys.executable, "-m", "tests.deployments.embedder.killing", str(tmp_path)]
        ended = subprocess.run(
            [*command, *calls], capture_output=True, text=True, timeout=120, check=False
        )
        told |= dict(line.split() for line in ended.stdout.splitlines())
        assert ended.returncode in (0, 9), ended.stderr
        deaths += ended.returncode == 9
        assert deaths <= 3
    assert told == {"0": "done", "1": "embedding_crashed", "2": "done"}
    assert deaths == 3
