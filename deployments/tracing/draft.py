"""A trace while its request runs."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from typing import Any, Final

from cluster.ids import new_id
from cluster.records import now
from cluster.tenancy import acting_project
from deployments.errors import RequestError
from deployments.model.messages import Resumed

__all__ = ["CLIENT_CLOSED", "TraceDraft"]

CLIENT_CLOSED: Final = 499
"""nginx's status of a request whose client went away before the answer's end."""


@dataclass(slots=True)
class TraceDraft:
    """A trace while its request runs. Whoever learns something writes it here.

    `status` and `duration_ms` are set by the gateway when the response has ended.
    """

    id: str = field(default_factory=lambda: new_id("trace"))
    request_id: str = ""
    route: str = ""
    project_id: str = field(default_factory=acting_project)
    key_id: str | None = None
    model: str | None = None
    status: int = 200
    question: str | None = None
    answer: str | None = None
    prompt_version: str | None = None
    alias: str | None = None
    user_id: str | None = None
    """A digest of who asked; see `user_digest`."""
    experiment_id: str | None = None
    arm: str | None = None
    shadow_of: str | None = None
    refused: bool | None = None
    keep: bool = False
    """The client asked that it be kept."""
    body: dict[str, Any] = field(default_factory=dict)
    """JSON values only: input (what the client sent), messages (as the model saw them), base_model,
    passages, left_out, sentences, tokens, error, traceparent; `resumed`, a list of positions and
    reasons, where the model's answer went on in another replica; and `guards`, a list of what each
    guard decided, where guards ran."""
    timings_ms: dict[str, float] = field(default_factory=dict)
    """How long each stage took."""
    began_ms: dict[str, float] = field(default_factory=dict)
    """When it began, from the start of the request, where that was noted."""
    created_at: int = field(default_factory=now)
    began_ns: int = field(default_factory=time.time_ns)
    started: float = field(default_factory=time.perf_counter)
    duration_ms: float | None = None

    def answered_by(self, model: str, alias: str | None, base: str | None = None) -> None:
        """Note which version answers, the alias that led to it, and the served model below."""
        self.model, self.alias = model, alias
        if base is not None:
            self.body["base_model"] = base

    @contextmanager
    def stage(self, name: str) -> Iterator[None]:
        """Note when the block ran and for how long."""
        self.begin(name)
        try:
            yield
        finally:
            self.end(name)

    def begin(self, name: str) -> None:
        """Note that a stage begins."""
        self.began_ms[name] = self._elapsed()

    def end(self, name: str) -> None:
        """Note that a stage that began has ended."""
        self.timings_ms[name] = round(self._elapsed() - self.began_ms[name], 3)

    def finish(self, status: int | None = None) -> None:
        """Set the status and stop the clock, the first time it is called."""
        if status is not None:
            self.status = status
        if self.duration_ms is None:
            self.duration_ms = (time.perf_counter() - self.started) * 1000

    def fail(self, error: RequestError) -> None:
        """Note that the answer ended with `error`, also after its status line had gone out."""
        self.status = error.status
        self.body["error"] = error.body()["error"]

    def went_on(self, resumed: Resumed) -> None:
        """Note that the model's answer went on in another replica."""
        self.body.setdefault("resumed", []).append(asdict(resumed))

    def leave(self) -> None:
        """Note that the client went before the end."""
        self.status = CLIENT_CLOSED
        self.body["error"] = {"message": "The client went away.", "code": "client_closed"}

    def _elapsed(self) -> float:
        return round((time.perf_counter() - self.started) * 1000, 3)
