"""A trace while its request runs."""

import time
from dataclasses import dataclass, field
from typing import Any, Final

from cluster.ids import DEFAULT_PROJECT, new_id
from cluster.records import Trace, now
from deployments.errors import RequestError

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
    project_id: str = DEFAULT_PROJECT
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
    body: dict[str, Any] = field(default_factory=dict)
    """messages (as the model saw them), passages, left_out, sentences, tokens, error: JSON values
    only."""
    timings_ms: dict[str, float] = field(default_factory=dict)
    created_at: int = field(default_factory=now)
    started: float = field(default_factory=time.perf_counter)
    duration_ms: float | None = None

    def answered_by(self, model: str, alias: str | None) -> None:
        """Note which version answers, and the alias that led to it."""
        self.model, self.alias = model, alias

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

    def leave(self) -> None:
        """Note that the client went before the end."""
        self.status = CLIENT_CLOSED
        self.body["error"] = {"message": "The client went away.", "code": "client_closed"}

    def row(self, *, store_text: bool = True) -> Trace:
        """Make the record, without questions, answers and passages unless `store_text`."""
        body = dict(self.body)
        if not store_text:
            body = {key: value for key, value in body.items() if key not in _TEXTS}
        tokens = body.get("tokens") or {}
        return Trace(
            id=self.id,
            project_id=self.project_id,
            request_id=self.request_id,
            route=self.route,
            model=self.model,
            status=self.status,
            question=_storable(self.question) if store_text else None,
            answer=_storable(self.answer) if store_text else None,
            prompt_version=self.prompt_version,
            alias=self.alias,
            user_id=self.user_id,
            experiment_id=self.experiment_id,
            arm=self.arm,
            shadow_of=self.shadow_of,
            refused=self.refused,
            error_code=(body.get("error") or {}).get("code"),
            prompt_tokens=tokens.get("prompt"),
            completion_tokens=tokens.get("completion"),
            body=_storable({**body, "timings_ms": dict(self.timings_ms)}),
            duration_ms=self.duration_ms or 0.0,
            created_at=self.created_at,
        )


_TEXTS: Final = frozenset(
    {"passages", "left_out", "sentences", "messages", "prompt_values", "step_outputs"}
)


def _storable(value: Any) -> Any:
    """`value` without NUL characters, which PostgreSQL refuses in text and in JSON."""
    if isinstance(value, str):
        return value.replace("\x00", "\ufffd")
    if isinstance(value, dict):
        return {_storable(str(key)): _storable(item) for key, item in value.items()}
    if isinstance(value, list | tuple):
        return [_storable(item) for item in value]
    return value
