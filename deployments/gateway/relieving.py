"""Who answers while models are pressed: the choice of a request, with what it does without."""

from dataclasses import replace

from fastapi import Request

from cluster.tenancy import acting_project
from deployments.gateway.choosing import Choice
from deployments.gateway.directory import Target
from deployments.gateway.request_context import current_trace, is_background, remaining_s
from deployments.gateway.services import Services
from deployments.limits.lease import current_lease, give_up

__all__ = ["relieved"]


def relieved(request: Request, services: Services, choice: Choice, *, grounded: bool) -> Choice:
    """`choice`, by a smaller model and with less where its model is pressed. Raises Overloaded.

    A request that another model answers is no part of its experiment any more. Background requests
    are not relieved: they wait, or are refused.
    """
    lease = current_lease()
    if lease is None or is_background(request):
        return choice
    relief, trace, project_id = services.relief, current_trace(request), acting_project()
    left_s, may_degrade = remaining_s(request), lease.may_degrade
    smaller = relief.smaller_model(
        choice.target.base, project_id, left_s, may_degrade=may_degrade, grounded=grounded
    )
    if smaller is not None:
        target = Target(smaller, alias=choice.target.alias, serving=choice.target.serving)
        choice = replace(choice, target=target, shadows=())
        trace.answered_by(target.name, target.alias, target.base)
        trace.experiment_id = trace.arm = None
        give_up("smaller_model", trace)
    ease = relief.ease(
        choice.target.base, project_id, left_s, may_degrade=may_degrade, grounded=grounded
    )
    return replace(choice, ease=ease)
