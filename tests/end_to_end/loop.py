"""One turn of the loop on the running system, which the tests of `test_loop.py` share.

A document is asked, answers are corrected, the corrections become rows, the rows an adapter, and
the gate promotes it: with the `openai` client and the command line alone.
"""

import json
import random
import time
from concurrent.futures import ThreadPoolExecutor
from dataclasses import dataclass
from typing import Any, Final

import openai
import pytest

from tests.fixtures.system import System

__all__ = [
    "MODEL",
    "TIMEOUT_S",
    "Improved",
    "Taught",
    "answer",
    "ask",
    "ask_traced",
    "everloop",
    "improved",
    "question",
    "rows",
    "taught",
    "upload",
    "wait_for",
]

MODEL = "smollm2-135m-instruct"
TIMEOUT_S: Final = 420
_THINGS: Final = {
    "animal": ("dog", "cat", "horse", "cow", "sheep", "goat", "pig", "hen", "duck", "fox"),
    "vehicle": ("car", "bus", "truck", "train", "bicycle", "tram", "boat", "ship", "van", "taxi"),
}
_GRADER: Final = {
    "type": "metric",
    "name": "right label",
    "metric": "exact_match",
    "input": "{{sample.output_text}}",
    "reference": "{{item.reference}}",
}
_ASKED: Final = ("What sort of thing is a {}?", "Sort this for me: {}.", "And a {}, what is it?")


_DOCUMENT: Final = (
    b"A sheep is an animal that gives wool. Sheep are kept on the hill farm.\n\n"
    b"A tram is a vehicle that runs on rails. Trams begin at the harbour."
)
_GROUNDED: Final = "What sort of thing is a sheep?"
_FEEDBACK: Final = "sort"


@dataclass(frozen=True)
class Taught:
    """Answers that somebody corrected, and the file of rows that came of it."""

    document: str
    grounded: Any
    """The response that was given from the document."""
    traces: tuple[str, ...]
    """Of the corrected answers, that from the document first."""
    feedback: tuple[str, ...]
    training_file: str


@dataclass(frozen=True)
class Improved:
    """What the one long run left."""

    job: Any
    gate: dict[str, Any]


def rows() -> list[dict[str, Any]]:
    """Sixty examples in an order that is always the same; the first is asked of the document."""
    found = [
        {
            "messages": [
                {"role": "user", "content": asked.format(thing)},
                {"role": "assistant", "content": f"sort:{label}"},
            ]
        }
        for asked in _ASKED
        for label, things in _THINGS.items()
        for thing in things
    ]
    random.Random(3).shuffle(found)
    found.sort(key=lambda row: question(row) != _GROUNDED)
    return found


def question(row: dict[str, Any]) -> str:
    """What a row asks."""
    return str(row["messages"][0]["content"])


def answer(row: dict[str, Any]) -> str:
    """What a row answers."""
    return str(row["messages"][1]["content"])


def upload(client: openai.OpenAI, lines: list[str], name: str, purpose: Any = "fine-tune") -> str:
    """Upload JSON Lines; the file's id."""
    data = ("\n".join(lines) + "\n").encode()
    return client.files.create(file=(name, data), purpose=purpose).id


def ask(client: openai.OpenAI, model: str, thing: str = "sheep") -> tuple[str, str]:
    """Who answered, and what."""
    given = client.chat.completions.create(
        model=model,
        messages=[{"role": "user", "content": _ASKED[0].format(thing)}],
        max_tokens=12,
        temperature=0,
    )
    return given.model, (given.choices[0].message.content or "").strip()


def ask_traced(client: openai.OpenAI, model: str, text: str) -> str:
    """Ask, and give the answer's trace."""
    raw = client.chat.completions.with_raw_response.create(
        model=model, messages=[{"role": "user", "content": text}], max_tokens=4, temperature=0
    )
    return raw.headers["x-trace-id"]


def everloop(system: System, *arguments: str) -> Any:
    """What a command prints as JSON."""
    done = system.everloop(*arguments, "--json")
    assert done.returncode == 0, done.stderr
    return json.loads(done.stdout)


@pytest.fixture(scope="module")
def taught(
    client: openai.OpenAI, system: System, tmp_path_factory: pytest.TempPathFactory
) -> Taught:
    """Forty questions to what the alias answers by, each answer corrected and reviewed."""
    document = client.files.create(file=("things.txt", _DOCUMENT), purpose="user_data").id
    store = client.vector_stores.create(name="things").id
    client.vector_stores.files.create_and_poll(
        document, vector_store_id=store, poll_interval_ms=200
    )
    raw = client.responses.with_raw_response.create(
        model="assistant",
        input=_GROUNDED,
        tools=[{"type": "file_search", "vector_store_ids": [store]}],
        max_output_tokens=40,
    )
    asked = rows()[:40]
    with ThreadPoolExecutor(4) as pool:
        others = pool.map(lambda row: ask_traced(client, "assistant", question(row)), asked[1:])
        traces = (raw.headers["x-trace-id"], *others)
    said: list[Any] = [
        client.post(
            "/feedback",
            body={
                "trace_id": trace,
                "name": _FEEDBACK,
                "thumbs": "down",
                "correction": answer(row),
            },
            cast_to=object,
        )
        for trace, row in zip(traces, asked, strict=True)
    ]
    everloop(system, "feedback", "review", "--all-corrections", "--name", _FEEDBACK)
    out = tmp_path_factory.mktemp("rows") / "rows.jsonl"
    exported = everloop(
        system, "feedback", "export", "--out", str(out), "--name", _FEEDBACK, "--upload"
    )
    feedback = tuple(one["id"] for one in said)
    return Taught(document, raw.parse(), traces, feedback, exported["file_id"])


@pytest.fixture(scope="module")
def improved(client: openai.OpenAI, taught: Taught) -> Improved:
    """A job whose adapter the gate has promoted."""
    held_out = [json.dumps(row) for row in rows()[40:]]
    job = client.fine_tuning.jobs.create(
        model=MODEL,
        training_file=taught.training_file,
        suffix="sorts",
        seed=1,
        method={"type": "supervised", "supervised": {"hyperparameters": {"n_epochs": 1}}},
        extra_body={
            "evaluation_file": upload(client, held_out, "evaluation.jsonl"),
            "alias": "assistant",
            "training": {
                "optimizer": {"learning_rate": 1e-3},
                "batch": {"examples": 4, "max_tokens": 128, "row_tokens": 512},
            },
            "gate": {
                "parity_items": 2,
                "grader": _GRADER,
                "bounds": {"latency_median": 3, "latency_p95": 5},
            },
        },
    )
    ended = wait_for(
        lambda: client.fine_tuning.jobs.retrieve(job.id),
        lambda job: job.status in {"succeeded", "failed", "cancelled"},
    )
    said = [event.message for event in client.fine_tuning.jobs.list_events(job.id)]
    assert ended.status == "succeeded", said
    gate_id = ended.model_extra["gate_run"]
    gate: dict[str, Any] = wait_for(
        lambda: client.get(f"/gate_runs/{gate_id}", cast_to=object),
        lambda gate: gate["status"] in {"completed", "failed"} and settled(gate),
    )
    return Improved(ended, gate)


def settled(gate: dict[str, Any]) -> bool:
    """Whether the promotion that the verdict allows was made, or failed."""
    return gate["verdict"] != "promote" or gate["promoted"] or gate["error"] is not None


def wait_for(look: Any, good: Any) -> Any:
    """What `look` finds, once it is good."""
    until = time.monotonic() + TIMEOUT_S
    while not good(found := look()):
        assert time.monotonic() < until, found
        time.sleep(0.25)
    return found
