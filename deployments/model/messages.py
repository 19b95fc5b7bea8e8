"""What crosses a Model replica's boundary: plain dictionaries in, small parts out.

The gateway must not import vllm, so requests travel as the client's JSON (already checked for
JSON shape) and the replica builds vLLM's request objects.
"""

import json
from dataclasses import dataclass, field
from hashlib import sha256
from typing import Any, Final, Literal

from cluster.adapters import AdapterFiles
from cluster.tenancy import acting_project

__all__ = ["ModelCall", "ModelLoad", "Part", "Usage"]

_SALT: Final = "cache_salt"
_SALT_DIGITS: Final = 32


@dataclass(frozen=True, slots=True)
class ModelCall:
    """One request to a model.

    `body` is OpenAI's request body of `/v1/chat/completions` or `/v1/completions`.
    """

    kind: Literal["chat", "completion"]
    body: dict[str, Any]
    request_id: str
    deadline_s: float = 300.0
    """Seconds from now after which the replica gives up."""
    adapter: AdapterFiles | None = None
    """What answers instead of the model's own weights; the answer's `model` is then its id."""
    background: bool = False
    """Work that gives way to users' requests, and is no sign that serving is pressed."""
    project_id: str = field(default_factory=acting_project)
    """Whose call it is."""

    def salted(self) -> dict[str, Any]:
        """The body with its `cache_salt`: whose prefixes of prompts the engine may share with it.

        Prompts of two projects share no block of the prefix cache, so that no project learns from
        the time of a first token what another has asked. A client's own salt divides further.
        """
        own = self.body.get(_SALT)
        text = json.dumps([self.project_id, own], ensure_ascii=False)
        return {**self.body, _SALT: sha256(text.encode()).hexdigest()[:_SALT_DIGITS]}


@dataclass(frozen=True, slots=True)
class ModelLoad:
    """How busy a model's replicas are together."""

    replicas: int = 0
    """That run."""
    running: int = 0
    """Calls in flight."""
    unfinished: int = 0
    """Requests that the engines hold, running and waiting."""
    capacity: int = 0
    """Calls that they take at once."""
    background: int = 0
    """Calls in flight that give way to users' requests."""
    asked: int = 0
    """Users' calls that the gateways hold for it, those that wait for a replica included."""


@dataclass(frozen=True, slots=True)
class Usage:
    """Tokens of one request."""

    prompt_tokens: int = 0
    completion_tokens: int = 0

    def __add__(self, other: "Usage") -> "Usage":
        """Both together."""
        return Usage(
            self.prompt_tokens + other.prompt_tokens,
            self.completion_tokens + other.completion_tokens,
        )


@dataclass(frozen=True, slots=True)
class Part:
    """One message of the replica's answer stream.

    For `body["stream"]` true: `data` holds one or more whole server-sent events as bytes,
    ready for the socket, the last of them `data: [DONE]`. For false: one
    Part, whose `data` is the JSON body. Errors are raised as `deployments.errors.RequestError`,
    always before the first Part or as an SSE error event after it.
    """

    data: bytes
    usage: Usage | None = field(default=None)
    """On the last Part."""
