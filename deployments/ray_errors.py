"""What a call to another deployment met, in our words.

| what happened                                  | what is raised                       |
| ---------------------------------------------- | ------------------------------------ |
| the deployment's queue is full                 | Overloaded                           |
| its replica or node died, or it has none       | Unavailable                          |
| no answer in time                              | DeadlineExceeded                     |
| its code raised an EverloopError               | that error itself                    |
| its code raised anything else                  | that error; the gateway answers 500  |

A model's call that had begun is taken to another replica instead, where `how_lost` says so.
"""

from cluster.errors import EverloopError
from deployments.errors import ENGINE_FAILED, DeadlineExceeded, Overloaded, Unavailable

__all__ = ["how_lost", "translated"]


def translated(error: Exception, part: str, retry_after_s: int) -> Exception:
    """Return what to raise instead of an error that a call to `part` met."""
    from ray.serve import exceptions as serve_errors

    cause = _cause(error)
    if isinstance(cause, EverloopError):
        return cause
    if isinstance(cause, serve_errors.BackPressureError):
        return Overloaded(
            f"{part} has as many requests waiting as allowed. Try again shortly.",
            code="overloaded",
            retry_after_s=round(cause.retry_after_s or retry_after_s),
        )
    if isinstance(cause, (serve_errors.DeploymentUnavailableError, *_gone())):
        return Unavailable(
            f"{part} is restarting. Try again shortly.",
            code="part_restarting",
            retry_after_s=retry_after_s,
        )
    if isinstance(cause, TimeoutError):
        return DeadlineExceeded(f"{part} did not answer in time.", code="part_too_slow")
    return cause if isinstance(cause, Exception) else error


def how_lost(error: Exception) -> str | None:
    """Return what became of the replica that worked on a call, None where that is not the matter.

    Only what another replica can mend: a request that is refused is refused by all of them.
    """
    cause = _cause(error)
    if isinstance(cause, Unavailable) and cause.code == ENGINE_FAILED:
        return "its engine failed"
    return "its replica died" if isinstance(cause, _gone()) else None


def _cause(error: Exception) -> BaseException:
    from ray.exceptions import RayTaskError

    cause: BaseException = error.cause if isinstance(error, RayTaskError) else error
    return cause


def _gone() -> tuple[type[BaseException], ...]:
    from ray import exceptions as ray_errors
    from ray.serve.exceptions import ReplicaUnavailableError

    return (
        ReplicaUnavailableError,
        ray_errors.RayActorError,
        ray_errors.WorkerCrashedError,
        ray_errors.NodeDiedError,
        ray_errors.OwnerDiedError,
        ray_errors.ObjectLostError,
        ray_errors.TaskCancelledError,
    )
