"""Work as jobs of a real local Ray."""

import logging
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from cluster.errors import LaunchError
from deployments.trainer import submissions
from deployments.trainer.submissions import RayJobs
from tests.fixtures.ray_cluster import SharedRay
from training.queue.ledger import Work

PLANTED = "planted-secret-8f1c"

pytestmark = pytest.mark.integration


def work(name: str, **changes: Any) -> Work:
    values: dict[str, Any] = {
        "id": name,
        "project_id": "proj_default",
        "kind": "job",
        "status": "running",
        "attempts": 1,
        "crashes": 0,
        "wish": None,
        "submission": f"{name}-1",
        "lease_until": 0,
        "not_before": 0,
        **changes,
    }
    return Work(**values)


@pytest.fixture(scope="module")
def _ray(shared_ray: SharedRay) -> Iterator[None]:
    with shared_ray.joined("submissions"):
        yield


@pytest.fixture
def jobs(_ray: None, tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> RayJobs:
    monkeypatch.setenv("EVERLOOP_DATA_DIR", str(tmp_path))
    monkeypatch.setenv("EVERLOOP_MILVUS__TOKEN", PLANTED)
    return RayJobs(tmp_path)


def until(what: Callable[[], Any], timeout_s: float = 60) -> Any:
    deadline = time.monotonic() + timeout_s
    while not (found := what()):
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.1)
    return found


def test_work_is_started_once_and_stopped(
    jobs: RayJobs, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    monkeypatch.setitem(submissions._MODULES, "job", "tests.fakes.waiting_process")
    waiting = work("ftjob-a")
    jobs.start(waiting)
    jobs.start(waiting)
    RayJobs(tmp_path).start(waiting)  # another Trainer, which took over
    until(lambda: "works: " in jobs.last_words(waiting))
    said = jobs.last_words(waiting).splitlines()
    assert said[-1] == f"works: --queued ftjob-a --attempt 1 {tmp_path}"
    assert sum(line.startswith("works: ") for line in said) == 1
    shown = [vars(details) for details in jobs._client.list_jobs()]
    assert str(waiting.submission) in str(shown)
    assert PLANTED not in str(shown)
    assert jobs.ended(waiting) is False
    jobs.stop(waiting)
    until(lambda: jobs.ended(waiting))
    with pytest.raises(LaunchError, match="did not take the job"):
        jobs.start(waiting)  # each attempt has a name of its own


def test_a_process_that_fails_leaves_its_last_words(
    jobs: RayJobs, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("EVERLOOP_NONE", "1")
    failing = work("ftjob-b")
    jobs.start(failing)
    until(lambda: jobs.ended(failing))
    said = jobs.last_words(failing)
    assert said.endswith("EVERLOOP_NONE: no such setting; `everloop config` lists them")
    assert "Traceback" not in said


def test_what_the_cluster_does_not_know_is_told_once(
    jobs: RayJobs, caplog: pytest.LogCaptureFixture
) -> None:
    unknown = work("ftjob-c")
    with caplog.at_level(logging.WARNING, logger=submissions.__name__):
        for _ in range(3):
            assert jobs.ended(unknown) is None
        assert jobs.last_words(unknown) == ""
        jobs.stop(unknown)
    told = [record.getMessage() for record in caplog.records]
    assert [line.split(": ")[:2] for line in told] == [
        ["Ray job ftjob-c-1", "whether it has ended is not known"],
        ["Ray job ftjob-c-1", "its log could not be read"],
        ["Ray job ftjob-c-1", "it could not be stopped"],
    ]
    assert all("does not exist" in line for line in told)
