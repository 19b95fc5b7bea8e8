"""What users do meanwhile: seeded, small, on loopback; what is acknowledged goes to the ledger."""

import hashlib
import io
import json
import threading
import time
from collections import Counter
from collections.abc import Sequence
from dataclasses import dataclass, field
from random import Random
from types import TracebackType
from typing import Any, Final, TypeVar

import openai

from cluster.ids import new_id
from tests.drills.promises import (
    AliasMove,
    BrokenPromiseError,
    Document,
    EvalRun,
    Feedback,
    LabelMove,
    Ledger,
    Promise,
    StoredAnswer,
    Upload,
)

__all__ = ["ALIAS", "MODEL", "OPERATIONS", "Traffic", "User", "make_alias"]

Promised = TypeVar("Promised", bound=Promise)
MODEL: Final = "smollm2-135m-instruct"
EMBEDDING_MODEL: Final = "all-minilm-l6-v2"
ALIAS: Final = "drilled"
_PROMPT: Final = "drilled"
_EVAL_ITEMS: Final = 2
_JOIN_S: Final = 120.0
_SYLLABLES: Final = ("ba", "do", "fi", "gu", "ka", "le", "mo", "nu", "pa", "ri", "so", "tu", "ve")


@dataclass
class User:
    """Somebody who does one thing after the other, as their seed says."""

    client: openai.OpenAI
    ledger: Ledger
    random: Random
    store_id: str
    traces: list[str] = field(default_factory=list)
    """Of answers that were got."""

    def chat(self) -> None:
        """Ask; the trace is kept for feedback."""
        raw = self.client.chat.completions.with_raw_response.create(
            model=MODEL,
            messages=[{"role": "user", "content": f"Say {self.word()}."}],
            max_tokens=4,
        )
        self.traces = [*self.traces[-8:], raw.headers["x-trace-id"]]

    def stream(self) -> None:
        """Ask for an answer in pieces, and read it to its end."""
        finished = None
        for chunk in self.client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": f"Say {self.word()}."}],
            max_tokens=4,
            stream=True,
        ):
            finished = chunk.choices[0].finish_reason if chunk.choices else finished
        if finished is None:
            raise BrokenPromiseError("the stream broke off")

    def answer(self) -> StoredAnswer:
        """Ask from the documents; the answer is stored."""
        made = self.client.responses.create(
            model=MODEL,
            input=f"What is the password of {self.word()}?",
            tools=[{"type": "file_search", "vector_store_ids": [self.store_id]}],
            max_output_tokens=8,
        )
        return self._noted(StoredAnswer(made.id, made.output_text))

    def upload(self) -> Document:
        """Upload a document and attach it: two promises."""
        word = self.word()
        data = f"The password of the room is {word}. Nobody else knows {word}.\n".encode()
        made = self.client.files.create(
            file=(f"{word}.txt", io.BytesIO(data)), purpose="assistants"
        )
        self._noted(Upload(made.id, hashlib.sha256(data).hexdigest()))
        self.client.vector_stores.files.create(vector_store_id=self.store_id, file_id=made.id)
        return self._noted(Document(self.store_id, made.id, word))

    def search(self) -> None:
        """Search the store."""
        self.client.vector_stores.search(self.store_id, query=f"password {self.word()}")

    def embed(self) -> None:
        """Embed a sentence."""
        self.client.embeddings.create(model=EMBEDDING_MODEL, input=f"the word {self.word()}")

    def say(self) -> None:
        """Say something of an answer; without one, ask first."""
        if not self.traces:
            self.chat()
        comment = self.word()
        said: Any = self.client.post(
            "/feedback",
            body={"trace_id": self.random.choice(self.traces), "name": comment, "comment": comment},
            cast_to=object,
        )
        self._noted(Feedback(said["id"], comment))

    def promote(self) -> None:
        """Move an alias."""
        reason = self.word()
        moved: Any = self.client.post(
            f"/aliases/{ALIAS}/promote",
            body={"target": MODEL, "override": True, "reason": reason},
            cast_to=object,
        )
        self._noted(AliasMove(ALIAS, moved["version"], reason))

    def label(self) -> LabelMove:
        """Make a prompt with one version and a label, and move the label again."""
        name, reason = new_id(_PROMPT), self.word()  # not again the same by the same seed
        version = {"messages": [{"role": "user", "content": "Say {{ word }}."}]}
        said = {**version, "variables": {"word": {}}}
        self.client.post("/prompts", body={"name": name, "version": said}, cast_to=object)
        self.client.post(
            f"/prompts/{name}/labels/production",
            body={"version": "1", "reason": reason},
            cast_to=object,
        )
        return self._noted(LabelMove(name, "production", reason))

    def evaluate(self) -> EvalRun:
        """Have answers asked for and graded."""
        made = self.client.evals.create(
            name=self.word(),
            data_source_config={
                "type": "custom",
                "item_schema": {"type": "object", "properties": {"word": {"type": "string"}}},
                "include_sample_schema": True,
            },
            testing_criteria=[
                {
                    "type": "string_check",
                    "name": "says",
                    "input": "{{sample.output_text}}",
                    "reference": "{{item.word}}",
                    "operation": "ilike",
                }
            ],
        )
        rows = [{"item": {"word": self.word()}} for _ in range(_EVAL_ITEMS)]
        file = self.client.files.create(
            file=("words.jsonl", "\n".join(map(json.dumps, rows)).encode()), purpose="evals"
        )
        run = self.client.evals.runs.create(
            made.id,
            data_source={
                "type": "completions",
                "source": {"type": "file_id", "id": file.id},
                "model": MODEL,
                "input_messages": {
                    "type": "template",
                    "template": [{"role": "user", "content": "Say {{item.word}}."}],
                },
                "sampling_params": {"max_completion_tokens": 3, "temperature": 0},
            },
        )
        return self._noted(EvalRun(made.id, run.id, _EVAL_ITEMS))

    def list_traces(self) -> None:
        """Look at the newest traces."""
        self.client.get("/traces?limit=5", cast_to=object)

    def word(self) -> str:
        """Seven syllables: the seed's, and nobody else's."""
        return "".join(self.random.choices(_SYLLABLES, k=7))

    def _noted(self, promise: Promised) -> Promised:
        self.ledger.add(promise)
        return promise


OPERATIONS: Final = {
    "chat": 4,
    "stream": 3,
    "answer": 2,
    "upload": 6,
    "search": 3,
    "embed": 3,
    "say": 4,
    "promote": 2,
    "label": 1,
    "evaluate": 1,
    "list_traces": 1,
}
"""What a user does, and how often of thirty times."""


def make_alias(client: openai.OpenAI) -> None:
    """Make the alias that users move, unless there is one."""
    try:
        client.post("/aliases", body={"name": ALIAS, "target": MODEL}, cast_to=object)
    except openai.BadRequestError as error:
        if error.code != "alias_exists":
            raise


class Traffic:
    """Users at work from `with` to its end. Nothing is tried again: what fails is counted."""

    def __init__(
        self,
        users: Sequence[User],
        *,
        pause_s: tuple[float, float] = (0.05, 0.5),
        most_requests: int = 2000,
    ) -> None:
        self._pause_s = pause_s
        self._most_requests = most_requests
        self._stopping = threading.Event()
        self._lock = threading.Lock()
        self._threads = [
            threading.Thread(target=self._work, args=(user,), daemon=True) for user in users
        ]
        self.sent: Counter[str] = Counter()
        """Of each operation, those that were begun."""
        self.failed: Counter[str] = Counter()
        self.reasons: Counter[str] = Counter()
        """Why, in short."""

    def __enter__(self) -> "Traffic":
        for thread in self._threads:
            thread.start()
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._stopping.set()
        deadline = time.monotonic() + _JOIN_S
        for thread in self._threads:
            thread.join(max(0.0, deadline - time.monotonic()))

    @property
    def stuck(self) -> int:
        """Users whose last request has not ended, after the end."""
        return sum(thread.is_alive() for thread in self._threads)

    def _work(self, user: User) -> None:
        while not self._stopping.is_set() and self.sent.total() < self._most_requests:
            (name,) = user.random.choices(list(OPERATIONS), list(OPERATIONS.values()))
            with self._lock:
                self.sent[name] += 1
            try:
                getattr(user, name)()
            except (openai.APIError, BrokenPromiseError) as error:
                with self._lock:
                    self.failed[name] += 1
                    self.reasons[_short(name, error)] += 1
            self._stopping.wait(user.random.uniform(*self._pause_s))


def _short(name: str, error: openai.APIError | BrokenPromiseError) -> str:
    if isinstance(error, BrokenPromiseError):
        return f"{name}: {error}"
    status = getattr(error, "status_code", None)
    return f"{name}: {status or type(error).__name__}{f' {error.code}' if error.code else ''}"
