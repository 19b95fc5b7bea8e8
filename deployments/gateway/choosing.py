"""Who and what answers a request: model or adapter, prompt, retrieval, arm of an experiment.

Chosen once for each request, so that it is answered by one version of everything from its first
token to its last, whatever moves meanwhile.
"""

from dataclasses import dataclass, field, replace
from typing import Any

from deployments.errors import RequestError, Unavailable
from deployments.experiments.arms import Arm
from deployments.gateway.directory import Target
from deployments.gateway.prompting import PromptUse, read_prompt_use
from deployments.gateway.services import Services
from deployments.gateway.users import user_digest
from deployments.limits.relief import Ease
from deployments.model.messages import Usage
from deployments.prompts import Prompt
from deployments.serving import Retrieval
from deployments.tracing.draft import TraceDraft

__all__ = ["Choice", "ShadowArm", "choose", "choose_shadow"]


@dataclass(frozen=True, slots=True)
class ShadowArm:
    """An arm that gets a copy of the request, and whose answer nobody sees."""

    experiment_id: str
    arm: Arm
    grounded: bool


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
    shadows: tuple[ShadowArm, ...] = ()
    """Who gets a copy once the user has the answer."""
    ease: Ease = field(default_factory=Ease)
    """What it may do without, while models are pressed."""


async def choose(
    services: Services,
    body: dict[str, Any],
    trace: TraceDraft,
    user_header: str | None,
    *,
    grounded: bool = False,
    background: bool = False,
) -> Choice:
    """Choose for the request that `body` is, and write it to its trace.

    The client's own `prompt` goes before that of the alias, and keeps the request out of an
    experiment on prompts; so does `background` out of any. Where nobody names a prompt, a
    `grounded` answer is given by the records' prompt of the default one's name, once it has the
    label `production`. Raises NotFound for a model, alias or prompt that there is not,
    InvalidRequest for a malformed `prompt`, and Unavailable for an arm that cannot answer.
    """
    trace.user_id = user_digest(body, user_header)
    target = await services.directory.resolve(body["model"])
    trace.answered_by(target.name, target.alias, target.base)
    use: PromptUse | None = read_prompt_use(body)
    if target.alias is not None and not background:
        split = await services.experiments.running(target.alias)
        if split is not None and not (split.prompts_differ and use is not None):
            arm = split.arm_of(trace.user_id or trace.request_id)
            if arm is not None:
                trace.experiment_id, trace.arm = split.id, arm.name
                choice = await _choose_arm(services, arm, use, trace, grounded=grounded)
                shadows = (ShadowArm(split.id, shadow, grounded) for shadow in split.shadows)
                return replace(choice, shadows=tuple(shadows))
    return await _chosen(services, target, use, trace, grounded=grounded)


async def choose_shadow(
    services: Services, shadow: ShadowArm, body: dict[str, Any], trace: TraceDraft
) -> Choice:
    """Choose the same for a shadow of the request. `trace` is the shadow's. Raises Unavailable."""
    use = read_prompt_use(body)
    return await _choose_arm(services, shadow.arm, use, trace, grounded=shadow.grounded)


async def _choose_arm(
    services: Services, arm: Arm, use: PromptUse | None, trace: TraceDraft, *, grounded: bool
) -> Choice:
    """What an arm cannot find is its own fault, not the client's: a 503, which guardrails count."""
    try:
        target = await services.directory.resolve(str(arm.model))
        target = replace(target, alias=trace.alias, serving=arm.serving)
        return await _chosen(services, target, use, trace, grounded=grounded)
    except RequestError as error:
        if use is not None and (error.param or "").startswith("prompt"):
            raise
        raise Unavailable(
            f"The arm {arm.name} of the experiment {trace.experiment_id} cannot answer: "
            f"{error.message}",
            code="arm_unavailable",
        ) from error


async def _chosen(
    services: Services, target: Target, use: PromptUse | None, trace: TraceDraft, *, grounded: bool
) -> Choice:
    trace.answered_by(target.name, target.alias, target.base)
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
