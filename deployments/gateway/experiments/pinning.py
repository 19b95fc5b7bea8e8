"""What an arm or an alias names, made sure of and pinned to a version."""

from typing import TYPE_CHECKING

from deployments.errors import InvalidRequest, RequestError
from deployments.experiments.arms import Arm
from deployments.gateway.prompting import FILLED
from deployments.serving import Serving

if TYPE_CHECKING:
    from deployments.gateway.services import Services

__all__ = ["check_arms", "pinned_arms", "pinned_serving"]


async def check_arms(parts: "Services", arms: list[Arm]) -> None:
    """Raise InvalidRequest or NotFound that names the field for an arm that could not answer."""
    for place, arm in enumerate(arms):
        await _pinned_prompt(parts, arm.prompt, f"arms.{place}.prompt")
        if arm.model is None:
            continue
        target = await parts.directory.resolve(arm.model, f"arms.{place}.model")
        if target.name != arm.model:
            raise InvalidRequest(
                f"arms.{place}.model is {arm.model!r}, which moves; name a served model or an "
                "adapter version.",
                param=f"arms.{place}.model",
                code="invalid_value",
            )


async def pinned_arms(parts: "Services", alias: str, arms: list[Arm]) -> list[Arm]:
    """The arms with nothing left open, as the alias stands now."""
    await check_arms(parts, arms)
    parts.directory.forget(alias)
    target = await parts.directory.resolve(alias, "alias")
    pinned = []
    for place, arm in enumerate(arms):
        prompt = await _pinned_prompt(parts, arm.prompt, f"arms.{place}.prompt")
        pinned.append(arm.pinned(target.name, target.serving, prompt))
    return pinned


async def pinned_serving(parts: "Services", serving: Serving, param: str) -> Serving:
    """The same, its prompt pinned to a version."""
    return serving.model_copy(update={"prompt": await _pinned_prompt(parts, serving.prompt, param)})


async def _pinned_prompt(parts: "Services", reference: str | None, param: str) -> str | None:
    if reference is None:
        return None
    try:
        prompt = await parts.prompts.find(reference)
    except RequestError as error:
        error.param = param
        raise
    if unfilled := [name for name in prompt.needed if name not in FILLED]:
        raise InvalidRequest(
            f"{param}: {prompt.version} needs a value of {', '.join(unfilled)}, which nobody gives "
            "who calls an alias. Give the variable a default.",
            param=param,
            code="prompt_needs_variables",
        )
    return prompt.version
