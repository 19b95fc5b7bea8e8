"""The lines that a run leaves, also where it was killed in the middle of one."""

from pathlib import Path

from training.progress import StepDone, Validated
from training.recording import Recorder, read_metrics


def step(number: int, loss: float = 1.0) -> StepDone:
    return StepDone(number, 3, number / 3, loss, 0.5, 1e-3, 0.1, 10, 5, 0.5, 1)


def test_what_is_added_is_read_back(tmp_path: Path) -> None:
    seen = Validated(1, 2.0, 0.5, True, 0.1)
    with Recorder(tmp_path) as recorder:
        recorder.add(step(1))
        recorder.add(seen)
    assert read_metrics(tmp_path / "metrics.jsonl") == ([step(1)], [seen])


def test_a_line_that_was_cut_off_does_not_take_the_next_one_with_it(tmp_path: Path) -> None:
    path = tmp_path / "metrics.jsonl"
    with Recorder(tmp_path) as recorder:
        recorder.add(step(1))
        recorder.add(step(2))
    path.write_text(path.read_text()[:-20])
    with Recorder(tmp_path) as recorder:
        recorder.add(step(2, 3.0))
        recorder.add(step(3))
    assert read_metrics(path)[0] == [step(1), step(2, 3.0), step(3)]
