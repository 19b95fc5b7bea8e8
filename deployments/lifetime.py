"""How long Serve gives a replica: to answer that it is well, and to end its work before it goes.

A replica that does not answer three checks in a row is killed and replaced: one that is stopped or
dead-locked after 30 to 35 seconds, one that raises after 15. A replica that is to go (an update, a
scale-down) gets no new requests and is given the time of its longest call, and some, to end those
that it has; without any it goes within two seconds.
"""

from typing import TYPE_CHECKING, Any, Final

if TYPE_CHECKING:
    from ray.serve import Application

__all__ = ["CHECK_PERIOD_S", "CHECK_TIMEOUT_S", "SPARE_S", "lifetime", "with_version"]

CHECK_PERIOD_S: Final = 5.0
CHECK_TIMEOUT_S: Final = 10.0
SPARE_S: Final = 10.0
"""Beyond its longest call, for what a replica does when it ends: flush, give back, say so."""


def lifetime(longest_call_s: float, *, surge: bool = False) -> dict[str, Any]:
    """Serve's options for a deployment whose calls take so long at most.

    `surge`: an update starts each new replica before it stops the old one. It takes room for one
    more replica; without it the last replica's requests wait until the new one has started.
    """
    return {
        "health_check_period_s": CHECK_PERIOD_S,
        "health_check_timeout_s": CHECK_TIMEOUT_S,
        "graceful_shutdown_timeout_s": longest_call_s + SPARE_S,
        "max_surge_percent": 100 if surge else 0,
    }


def with_version(application: "Application", version: str) -> "Application":
    """`application`, whose own replicas an update to the same version leaves running.

    Serve gives each update a version of its own, so that it restarts every replica, changed or not;
    it keeps one that is there, but has no public way to set it.
    """
    application._bound_deployment._version = version
    return application
