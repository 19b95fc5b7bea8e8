"""A question to the answer path, and what stands before the model is asked."""

import time
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

from cluster.adapters import AdapterFiles
from cluster.tenancy import acting_project
from deployments.gateway.grounding.attribution import Attributor
from deployments.gateway.grounding.fact_judge import FactJudge
from deployments.gateway.grounding.options import FileSearch
from deployments.gateway.grounding.packing import Packing
from deployments.gateway.grounding.tokens import TokenCounter
from deployments.gateway.guarding import RequestGuards
from deployments.limits.relief import Ease
from deployments.model.messages import Usage
from deployments.ports import ChatModel
from deployments.prompts import Prompt
from deployments.retriever.messages import RetrievedPassage
from deployments.serving import Retrieval

if TYPE_CHECKING:
    from deployments.gateway.grounding.earlier import EarlierAnswer

__all__ = ["AnswerRequest", "ChatProfile", "PreparedAnswer"]


class ChatProfile(NamedTuple):
    """A chat model, and what the token budget needs to know of it."""

    model: ChatModel
    counter: TokenCounter
    context_tokens: int


@dataclass(frozen=True, slots=True)
class AnswerRequest:
    """A question, grounded where `search` is given."""

    model: str
    """Id of the served model."""
    messages: list[dict[str, Any]]
    search: FileSearch | None
    options: dict[str, Any]
    """The rest of a chat body: temperature, stop, seed, max_tokens, response_format…"""
    request_id: str
    deadline_s: float
    project_id: str = field(default_factory=acting_project)
    adapter: AdapterFiles | None = None
    """What answers on top of the model."""
    background: bool = False
    """Gives way to users' requests; it is not scored as one of theirs."""
    prompt: Prompt | None = None
    """What the model is told, in place of the default prompt; its messages stand already in
    `messages` where nothing is searched."""
    variables: Mapping[str, Any] = field(default_factory=dict)
    """Of a prompt with passages: the client's values beside those that grounding gives."""
    retrieval: Retrieval = field(default_factory=Retrieval)
    """How passages are found where `search` does not say."""
    spent: Usage = field(default_factory=Usage)
    """Tokens of the prompt's steps, which ran before; the answer's usage has them too."""
    guards: RequestGuards | None = field(default=None, repr=False)
    """What question, passages and answer go through."""

    ease: Ease = field(default_factory=Ease)
    """What it may do without, while models are pressed."""
    made: float = field(default_factory=time.monotonic)

    @property
    def left_s(self) -> float:
        """What is left of `deadline_s` now."""
        return max(0.0, self.deadline_s - (time.monotonic() - self.made))

    @property
    def answers(self) -> str:
        """What the answer gives as its model."""
        return self.model if self.adapter is None else self.adapter.id


@dataclass(frozen=True, slots=True)
class PreparedAnswer:
    """All that stands before the model starts: what `prepare` made for `stream`."""

    request: AnswerRequest
    profile: ChatProfile
    body: dict[str, Any]
    query: str = ""
    found: tuple[RetrievedPassage, ...] = ()
    packing: Packing | None = None
    refusal: str | None = None
    """Said instead of asking the model, where nothing supports an answer."""
    earlier: "EarlierAnswer | None" = None
    """Given again instead of asking the model, which is pressed."""
    keep_as: str | None = None
    """The name to keep the answer under."""
    attributor: Attributor | None = field(default=None, repr=False)
    judge: FactJudge | None = field(default=None, repr=False)
    is_json: bool = False

    @property
    def temperature(self) -> float | None:
        """What the model samples with, where that is known."""
        return self.body.get("temperature")
