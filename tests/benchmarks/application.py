"""The running application for a benchmark, and fine-tuning jobs on it as a client makes them."""

import io
import json
import shutil
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

from openai import OpenAI
from openai.types.fine_tuning import FineTuningJob

from cluster.client import key_for
from tests.fixtures.system import System, test_environment

__all__ = ["await_gate", "await_job", "chat_row", "running_application", "upload"]

_UP_TIMEOUT_S: Final = 900
_DOWN_TIMEOUT_S: Final = 120
_LOOK_S: Final = 1.0
_ENDED: Final = frozenset({"succeeded", "failed", "cancelled"})


@contextmanager
def running_application(
    base_url: str | None = None, settings: Mapping[str, str] | None = None
) -> Iterator[System]:
    """Everloop at `base_url`, which is left as it is; else one of its own, stopped at the end.

    The private one has the default models, and `settings` in its environment on top. Raises
    CalledProcessError where it does not start.
    """
    folder = Path(tempfile.mkdtemp(prefix="everloop-bench-"))
    environment = test_environment(folder)
    del environment["EVERLOOP_MODELS"]
    environment |= dict(settings or {})
    if base_url is not None and (key := key_for(base_url)) is not None:
        environment["EVERLOOP_API_KEY"] = key
    url = f"http://127.0.0.1:{environment['EVERLOOP_HTTP__PORT']}/v1"
    try:
        if base_url is None:
            _everloop("up", environment, _UP_TIMEOUT_S)
        yield System(base_url or url, folder, environment)
    finally:
        if base_url is None:
            _everloop("down", environment, _DOWN_TIMEOUT_S)
        shutil.rmtree(folder, ignore_errors=True)


def chat_row(system: str, question: str, answer: str) -> dict[str, Any]:
    """A row of a training file in OpenAI's chat form."""
    return {
        "messages": [
            {"role": "system", "content": system},
            {"role": "user", "content": question},
            {"role": "assistant", "content": answer},
        ]
    }


def upload(client: OpenAI, name: str, rows: Sequence[Mapping[str, Any]]) -> str:
    """Upload rows for fine-tuning; the file's id."""
    lines = "".join(json.dumps(row, ensure_ascii=False) + "\n" for row in rows)
    file = (f"{name}.jsonl", io.BytesIO(lines.encode()))
    return client.files.create(file=file, purpose="fine-tune").id


def await_job(client: OpenAI, job_id: str) -> FineTuningJob:
    """Tell the job's events as they come, until it ends. Raises RuntimeError unless it succeeds."""
    told: set[str] = set()
    while True:
        job = client.fine_tuning.jobs.retrieve(job_id)
        events = client.fine_tuning.jobs.list_events(job_id, limit=20).data
        for event in reversed(events):
            step = (event.data if isinstance(event.data, dict) else {}).get("step", 0)
            if event.id not in told and step % 10 == 0:
                print(f"  {event.message}", flush=True)
            told.add(event.id)
        if job.status in _ENDED:
            break
        time.sleep(_LOOK_S)
    if job.status != "succeeded":
        raise RuntimeError(f"The job {job_id} is {job.status}: {job.error}")
    return job


def await_gate(client: OpenAI, gate_id: str) -> dict[str, Any]:
    """The gate run when it has ended. Raises RuntimeError unless it reached a verdict."""
    while True:
        run: Any = client.get(f"/gate_runs/{gate_id}", cast_to=object)
        if run["status"] not in ("queued", "running"):
            break
        time.sleep(_LOOK_S)
    if run["status"] != "completed":
        raise RuntimeError(f"The gate run {gate_id} is {run['status']}: {run['error']}")
    found: dict[str, Any] = run
    return found


def _everloop(command: str, environment: Mapping[str, str], timeout_s: float) -> None:
    subprocess.run(
        [sys.executable, "-m", "cluster.cli", command],
        env=dict(environment),
        check=True,
        stdout=subprocess.DEVNULL,
        timeout=timeout_s,
    )
