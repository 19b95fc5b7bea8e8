"""Whether the deployments that requests need have replicas, as the Serve controller sees them."""

import asyncio
import functools
from collections.abc import Iterable, Mapping
from typing import TYPE_CHECKING, Any, Final

from deployments.errors import REPLICA_STARTING, Unavailable
from deployments.gateway.services import Check

if TYPE_CHECKING:
    from ray.serve.handle import DeploymentHandle
    from ray.serve.schema import DeploymentStatusOverview

__all__ = ["deployment_checks"]

# A model that is scaled to zero is healthy without replicas, and starts with the next request.
_WITHOUT_REPLICAS: Final = frozenset({"HEALTHY", "UPSCALING"})
_RETRY_AFTER_S: Final = 10
"""A replica takes longer to start than a queue to drain."""


def deployment_checks(handles: "Iterable[DeploymentHandle[Any]]") -> Mapping[str, Check]:
    """Make a check for each handle's deployment, by its name. They send the replicas nothing."""
    return {
        handle.deployment_name: functools.partial(
            asyncio.to_thread, _check, handle.app_name, handle.deployment_name
        )
        for handle in handles
    }


def _is_starting(state: "DeploymentStatusOverview") -> bool:
    """Whether a replica is on its way: of an update, or in the place of one that died."""
    replaced = state.status == "UNHEALTHY" and state.replica_states.get("STARTING", 0)
    return state.status == "UPDATING" or bool(replaced)


def _check(application: str, name: str) -> None:
    from ray import serve
    from ray.serve.schema import ApplicationStatusOverview

    overview: ApplicationStatusOverview | None = serve.status().applications.get(application)
    state = overview.deployments.get(name) if overview is not None else None
    if state is None:
        raise Unavailable(f"{name} is not deployed.")
    if state.status not in _WITHOUT_REPLICAS and not state.replica_states.get("RUNNING", 0):
        raise Unavailable(
            f"{name} has no running replica ({state.status}). {state.message}".strip(),
            code=REPLICA_STARTING if _is_starting(state) else "no_replica",
            retry_after_s=_RETRY_AFTER_S,
        )
