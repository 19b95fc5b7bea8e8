"""What the system has acknowledged, and how each of it is looked up again.

A promise is made by an answer with status 200. `broken` says what is wrong with it now, or nothing;
a promise of work that is still under way is broken until the work has ended well.
"""

import hashlib
import threading
import time
from collections import Counter
from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from typing import Any, Final, Protocol

import openai

__all__ = [
    "AliasMove",
    "BrokenPromiseError",
    "Document",
    "EvalRun",
    "Feedback",
    "Job",
    "LabelMove",
    "Ledger",
    "Promise",
    "StoredAnswer",
    "Upload",
    "broken_promises",
]

_LOOK_S: Final = 0.5
_PAGE: Final = 100


class BrokenPromiseError(Exception):
    """The system answered well, and did not do what it said."""


class Promise(Protocol):
    """Something that was acknowledged."""

    def broken(self, client: openai.OpenAI) -> str:
        """What is wrong with it; empty where it is kept. Raises openai.APIError."""
        ...


@dataclass(frozen=True, slots=True)
class Upload:
    """A file whose bytes must come back as they were sent."""

    file_id: str
    sha256: str

    def broken(self, client: openai.OpenAI) -> str:
        """See Promise."""
        found = hashlib.sha256(client.files.content(self.file_id).read()).hexdigest()
        return "" if found == self.sha256 else f"{self.file_id} has other bytes than were sent"


@dataclass(frozen=True, slots=True)
class Document:
    """A file in a store, which must be found by a word that no other has."""

    store_id: str
    file_id: str
    word: str

    def broken(self, client: openai.OpenAI) -> str:
        """See Promise."""
        file = client.vector_stores.files.retrieve(self.file_id, vector_store_id=self.store_id)
        if file.status != "completed":
            told = file.last_error.message if file.last_error else "no error"
            return f"{self.file_id} is {file.status} ({told})"
        hits = client.vector_stores.search(self.store_id, query=f"password {self.word}").data
        found = self.file_id in {hit.file_id for hit in hits}
        return "" if found else f"{self.file_id} is not found by {self.word!r}"


@dataclass(frozen=True, slots=True)
class Feedback:
    """What somebody said of an answer."""

    feedback_id: str
    comment: str

    def broken(self, client: openai.OpenAI) -> str:
        """See Promise."""
        row: Any = client.get(f"/feedback/{self.feedback_id}", cast_to=object)
        return "" if row["comment"] == self.comment else f"{self.feedback_id} says something else"


@dataclass(frozen=True, slots=True)
class StoredAnswer:
    """A response that was kept."""

    response_id: str
    text: str

    def broken(self, client: openai.OpenAI) -> str:
        """See Promise."""
        found = client.responses.retrieve(self.response_id).output_text
        return "" if found == self.text else f"{self.response_id} has another text"


@dataclass(frozen=True, slots=True)
class AliasMove:
    """A promotion: it stands in the alias's history for ever."""

    alias: str
    version: int
    reason: str

    def broken(self, client: openai.OpenAI) -> str:
        """See Promise."""
        path = f"/aliases/{self.alias}/history?limit={_PAGE}"
        after, moves = "", []
        while page := _page(client, path + after):
            moves += page
            after = f"&after={page[-1]['id']}"
            if page[-1]["version"] <= self.version:
                break
        wanted = (self.version, self.reason)
        kept = wanted in {(move["version"], move["reason"]) for move in moves}
        return "" if kept else f"move {self.version} of {self.alias} is not in its history"


@dataclass(frozen=True, slots=True)
class LabelMove:
    """A prompt's label that was moved."""

    prompt: str
    label: str
    reason: str

    def broken(self, client: openai.OpenAI) -> str:
        """See Promise."""
        moves = _page(client, f"/prompts/{self.prompt}/labels/{self.label}/history?limit={_PAGE}")
        kept = self.reason in {move["reason"] for move in moves}
        return "" if kept else f"the move {self.reason!r} of {self.prompt} is not in its history"


@dataclass(frozen=True, slots=True)
class EvalRun:
    """A run, which must end with a result for every item."""

    eval_id: str
    run_id: str
    items: int

    def broken(self, client: openai.OpenAI) -> str:
        """See Promise."""
        run = client.evals.runs.retrieve(self.run_id, eval_id=self.eval_id)
        counts = run.result_counts
        if run.status != "completed":
            return f"{self.run_id} is {run.status}"
        done = counts.passed + counts.failed
        if (done, counts.errored) != (self.items, 0):
            return f"{self.run_id} has {done} results and {counts.errored} errors of {self.items}"
        return ""


@dataclass(frozen=True, slots=True)
class Job:
    """A fine-tuning job, which must succeed."""

    job_id: str

    def broken(self, client: openai.OpenAI) -> str:
        """See Promise."""
        job = client.fine_tuning.jobs.retrieve(self.job_id)
        return "" if job.status == "succeeded" else f"{self.job_id} is {job.status} ({job.error})"


@dataclass
class Ledger:
    """All that was acknowledged, in its order. Threads may add to it."""

    _promises: list[Promise] = field(default_factory=list)
    _lock: threading.Lock = field(default_factory=threading.Lock)

    def add(self, promise: Promise) -> None:
        """Write down what was just acknowledged."""
        with self._lock:
            self._promises.append(promise)

    def since(self, mark: int = 0) -> list[Promise]:
        """Those after the first `mark`."""
        with self._lock:
            return self._promises[mark:]

    @property
    def mark(self) -> int:
        """How many there are."""
        with self._lock:
            return len(self._promises)

    def counts(self) -> dict[str, int]:
        """How many there are of each kind."""
        return dict(Counter(type(promise).__name__ for promise in self.since()))


def broken_promises(
    client: openai.OpenAI,
    promises: Iterable[Promise],
    settle_s: float,
    clock: Callable[[], float] = time.monotonic,
) -> list[str]:
    """What is lost: the promises that are not kept `settle_s` seconds from now, each with why.

    Each is looked at once at least, and one that is kept is not looked at again.
    """
    deadline = clock() + settle_s
    reasons = _reasons(client, list(promises))
    while reasons and clock() < deadline:
        time.sleep(_LOOK_S)
        reasons = _reasons(client, [promise for promise, _ in reasons])
    return [reason for _, reason in reasons]


def _reasons(client: openai.OpenAI, promises: Sequence[Promise]) -> list[tuple[Promise, str]]:
    found = []
    for promise in promises:
        try:
            reason = promise.broken(client)
        except openai.APIError as error:
            reason = f"{promise} cannot be looked up: {type(error).__name__}: {error}"
        if reason:
            found.append((promise, reason))
    return found


def _page(client: openai.OpenAI, path: str) -> list[dict[str, Any]]:
    said: Any = client.get(path, cast_to=object)
    return list(said["data"])
