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

__all__ = ["BEAT_S", "ModelCall", "ModelLoad", "Part", "Resumed", "Sent", "Usage"]

BEAT_S: Final = 1.0
"""A replica that has nothing to send for so long sends an empty Part: it is alive."""


@dataclass(frozen=True, slots=True)
class Sent:
    """What has been sent of a streamed answer that another replica began."""

    token_ids: tuple[int, ...]
    created: int
    """The time in the answer's events, in seconds since 1970."""
    finished: bool = False
    """Whether the last token ended the answer, so that only its usage is left to tell."""


@dataclass(frozen=True, slots=True)
class Resumed:
    """An answer went on in another replica."""

    position: int
    """Tokens that had been sent."""
    reason: str
    """What became of the replica before."""


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
    resume: Sent | None = None
    """Go on behind these tokens, which another replica generated: send none of them again."""

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
    before the first Part or in the middle. Parts without data only say that the replica is alive;
    `ModelHandle` keeps them to itself.
    """

    data: bytes
    usage: Usage | None = field(default=None)
    """On the last Part."""
    token_ids: tuple[int, ...] = ()
    """The tokens that a stream's `data` tells, in order."""
    created: int | None = None
    """The time in the events of a stream."""
    finished: bool = False
    """Whether an event in a stream's `data` tells why the answer ended."""
    resumed: Resumed | None = None
    """On the first Part of another replica than that of the Part before."""
