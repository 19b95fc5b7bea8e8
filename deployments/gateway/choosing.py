"""Who and what answers a request: model or adapter, prompt, retrieval, arm of an experiment.

Chosen once for each request, so that it is answered by one version of everything from its first
token to its last, whatever moves meanwhile.
"""

from dataclasses import dataclass, field
from typing import Any

from deployments.gateway.directory import Target
from deployments.gateway.prompting import PromptUse, read_prompt_use
from deployments.gateway.services import Services
from deployments.gateway.users import user_digest
from deployments.model.messages import Usage
from deployments.prompts import Prompt
from deployments.serving import Retrieval
from deployments.tracing.draft import TraceDraft

__all__ = ["Choice", "choose"]


@dataclass(frozen=True, slots=True)
class Choice:
    """What answers one request."""

    target: Target
    prompt: Prompt | None = None
    """The version whose messages the model is told; None: the client's own, or the default one."""
    variables: dict[str, Any] = field(default_factory=dict)
    """The client's values of the prompt's variables."""
    retrieval: Retrieval = field(default_factory=Retrieval)
    """Where the client's `file_search` does not say."""
    spent: Usage = field(default_factory=Usage)
    """Tokens of the prompt's steps, which ran before."""


async def choose(
    services: Services,
    body: dict[str, Any],
    trace: TraceDraft,
    user_header: str | None,
    *,
    grounded: bool = False,
) -> Choice:
    """Choose for the request that `body` is, and write it to its trace.

    The client's own `prompt` goes before that of the alias or the experiment's arm; where nobody
    names one, a `grounded` answer is given by the records' prompt of the default one's name, once
    it has the label `production`. Raises NotFound for a model, alias or prompt that there is not,
    InvalidRequest for a malformed `prompt`.
    """
    trace.user_id = user_digest(body, user_header)
    target = await services.directory.resolve(body["model"])
    trace.answered_by(target.name, target.alias, target.base)
    use: PromptUse | None = read_prompt_use(body)
    reference = use.reference if use is not None else target.serving.prompt
    prompt = None
    if reference is not None:
        prompt = await services.prompts.find(reference)
    elif grounded:
        prompt = await services.prompts.default(services.settings.grounding.prompt)
    if prompt is not None:
        trace.prompt_version = prompt.version
    if use is not None and use.variables:
        trace.body["prompt_variables"] = sorted(use.variables)
        trace.body["prompt_values"] = use.variables
    return Choice(
        target,
        prompt,
        {} if use is None else use.variables,
        target.serving.retrieval,
    )
