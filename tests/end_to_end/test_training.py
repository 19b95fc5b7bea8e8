"""Fine-tuning jobs on the running system: killed, pressed by serving, and cancelled."""

import contextlib
import json
import os
import signal
import threading
import time
from collections.abc import Callable, Iterator
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Final

import openai
import psutil
import pytest

from cluster.launch.processes import cluster_id, marked_processes
from tests.fixtures.system import System

pytestmark = [pytest.mark.end_to_end, pytest.mark.timeout(400)]

MODEL: Final = "smollm2-135m-instruct"
STEPS: Final = 400
"""Of a job that is not to end by itself."""
ENDED: Final = {"succeeded", "failed", "cancelled"}
CALLERS: Final = 12
"""As many as the model's replica takes at once and lets wait."""


@pytest.fixture(scope="module")
def data(client: openai.OpenAI) -> str:
    """The id of a file of forty short conversations."""
    rows = [
        {
            "messages": [
                {"role": "user", "content": f"{n} + {n % 7}?"},
                {"role": "assistant", "content": f"It is {n + n % 7}."},
            ]
        }
        for n in range(40)
    ]
    text = "\n".join(map(json.dumps, rows)).encode()
    return client.files.create(file=("sums.jsonl", text), purpose="fine-tune").id


def until(what: Callable[[], Any], timeout_s: float) -> Any:
    """Ask until `what()` is true."""
    deadline = time.monotonic() + timeout_s
    while not (found := what()):
        assert time.monotonic() < deadline, f"not within {timeout_s:.0f} s"
        time.sleep(0.25)
    return found


def ended(client: openai.OpenAI, job_id: str) -> str | None:
    """How the job has ended, if it has."""
    status = client.fine_tuning.jobs.retrieve(job_id).status
    return status if status in ENDED else None


def events(client: openai.OpenAI, job_id: str) -> list[Any]:
    """All that the job told, oldest first."""
    return list(client.fine_tuning.jobs.list_events(job_id, limit=100))[::-1]


def steps(client: openai.OpenAI, job_id: str) -> list[int]:
    """The steps that it took, in their order."""
    return [event.data["step"] for event in events(client, job_id) if event.type == "metrics"]


def steps_of_attempt(client: openai.OpenAI, job_id: str, number: int) -> list[int]:
    """The steps that an attempt took, once it has begun."""
    told = events(client, job_id)
    begun = [n for n, event in enumerate(told) if event.message.startswith(f"Attempt {number}:")]
    return (
        [event.data["step"] for event in told[begun[0] :] if event.type == "metrics"]
        if begun
        else []
    )


def messages(client: openai.OpenAI, job_id: str) -> list[str]:
    """The sentences that it told."""
    return [event.message for event in events(client, job_id) if event.type == "message"]


def driver(system: System, job_id: str) -> int:
    """The process that runs the job, not the shell around it."""
    for process in marked_processes(cluster_id(system.data_dir)):
        with contextlib.suppress(psutil.Error):
            words = process.cmdline()
            if ("--queued", job_id) in pairwise(words):
                return process.pid
    raise AssertionError(f"no process runs {job_id}")


@pytest.fixture(scope="module")
def job_id(client: openai.OpenAI, data: str) -> Iterator[str]:
    """One job of short steps for all that befalls it, after its second one: starts take longest.

    It makes no checkpoint but when it is told to stop.
    """
    job = client.fine_tuning.jobs.create(
        model=MODEL,
        training_file=data,
        extra_body={
            "training": {
                "epochs": 20,
                "max_steps": STEPS,
                "checkpoint_every": 10 * STEPS,
                "adapter": {"rank": 4},
                "batch": {"examples": 2, "max_tokens": 64, "row_tokens": 64},
            }
        },
    )
    try:
        until(lambda: len(steps(client, job.id)) >= 2 or ended(client, job.id), 150)
        assert not ended(client, job.id), messages(client, job.id)
        yield job.id
    finally:
        if not ended(client, job.id):
            client.fine_tuning.jobs.cancel(job.id)
            until(lambda: ended(client, job.id), 60)


@dataclass(frozen=True)
class Resumed:
    """A job that gave way to serving, and goes on."""

    job_id: str
    answers: list[int]
    """Of each caller."""
    yielded_at: int
    """The step of its checkpoint."""


@pytest.fixture(scope="module")
def resumed(client: openai.OpenAI, job_id: str) -> Resumed:
    """The job, pressed by serving and then left alone."""
    answers = press(client, lambda: client.fine_tuning.jobs.retrieve(job_id).status)
    said = messages(client, job_id)
    assert "Serving needs the machine: stopping at a checkpoint for now." in said
    (checkpoint,) = client.fine_tuning.jobs.checkpoints.list(job_id)
    step = checkpoint.step_number
    until(lambda: len(steps(client, job_id)) >= step + 2 or ended(client, job_id), 240)
    return Resumed(job_id, answers, step)


def press(client: openai.OpenAI, status: Callable[[], str]) -> list[int]:
    """Ask more than the model takes at once until the job does not run; answers of each caller."""
    calm = threading.Event()

    def ask(number: int) -> int:
        patient = client.with_options(max_retries=8)
        count = 0
        while not calm.is_set():
            answer = patient.chat.completions.create(
                model=MODEL,
                messages=[{"role": "user", "content": f"Write a long tale of {number} ships."}],
                max_tokens=48,
            )
            assert answer.choices[0].message.content
            count += 1
        return count

    with ThreadPoolExecutor(CALLERS) as callers:
        asked = [callers.submit(ask, number) for number in range(CALLERS)]
        try:
            until(lambda: status() != "running", 90)
        finally:
            calm.set()
    return [future.result() for future in asked]


def test_training_gives_way_to_serving_and_goes_on_afterwards(
    client: openai.OpenAI, resumed: Resumed
) -> None:
    assert min(resumed.answers) >= 1
    said = messages(client, resumed.job_id)
    assert [line for line in said if line.startswith("Gave its workers back to serving at a")]
    assert ended(client, resumed.job_id) is None, said
    taken = steps(client, resumed.job_id)
    assert 2 <= resumed.yielded_at < len(taken)
    assert taken == list(range(1, len(taken) + 1))


def test_a_killed_job_goes_on_from_its_last_checkpoint(
    client: openai.OpenAI, system: System, resumed: Resumed
) -> None:
    job_id = resumed.job_id
    os.kill(driver(system, job_id), signal.SIGKILL)
    again = until(lambda: steps_of_attempt(client, job_id, 3) or ended(client, job_id), 240)
    said = messages(client, job_id)
    assert ended(client, job_id) is None, said
    assert again[0] == resumed.yielded_at + 1
    assert [message for message in said if "ended without a word" in message]
    job = client.fine_tuning.jobs.retrieve(job_id)
    assert job.model_extra is not None
    assert job.model_extra["attempts"] == 3  # the second was the one that went on after serving


def test_a_cancel_takes_seconds_and_leaves_an_adapter_that_answers(
    client: openai.OpenAI, resumed: Resumed
) -> None:
    job_id = resumed.job_id
    began = time.monotonic()
    assert client.fine_tuning.jobs.cancel(job_id).status in {"running", "cancelled"}
    until(lambda: ended(client, job_id), 60)
    took = time.monotonic() - began
    said = messages(client, job_id)
    assert ended(client, job_id) == "cancelled"
    last, first = client.fine_tuning.jobs.checkpoints.list(job_id)
    assert first.step_number == resumed.yielded_at < last.step_number < STEPS
    adapter = last.fine_tuned_model_checkpoint
    assert said[-1] == f"Cancelled at a checkpoint; its adapter is {adapter}."
    assert took < 30
    answer = client.chat.completions.create(
        model=adapter,
        messages=[{"role": "user", "content": "3 + 3?"}],
        max_tokens=8,
    )
    assert answer.model == adapter
    assert answer.choices[0].message.content
