"""The Serve application: deploy it on a joined cluster, and say how its deployments are."""

import hashlib
import importlib
import logging
import os
import re
import threading
import time
from collections.abc import Callable
from dataclasses import dataclass
from typing import TYPE_CHECKING, Final, cast

from cluster.errors import LaunchError
from cluster.settings import Settings
from cluster.tls import serve_options

if TYPE_CHECKING:
    from ray.serve import Application

__all__ = [
    "APPLICATION",
    "DeploymentState",
    "deploy",
    "deployment_states",
    "settings_digest",
    "undeploy",
]

APPLICATION: Final = "everloop"
_BUILDER: Final = "deployments.app:build_app"
_POLL_S: Final = 0.5
_COLOUR: Final = re.compile(r"\x1b\[[0-9;]*m")


@dataclass(frozen=True)
class DeploymentState:
    """One deployment: its state in Serve's words and its replicas."""

    name: str
    status: str
    message: str
    replicas: dict[str, int]
    """By replica state, such as RUNNING and STARTING."""


def settings_digest(settings: Settings) -> str:
    """Return a name for these very settings."""
    return hashlib.sha256(settings.model_dump_json().encode()).hexdigest()[:16]


def deployment_states() -> list[DeploymentState]:
    """List the deployments as Serve sees them; empty when there is no application."""
    from ray import serve

    application = serve.status().applications.get(APPLICATION)
    if application is None:
        return []
    return [
        DeploymentState(
            name=name,
            status=str(overview.status.value),
            message=overview.message,
            replicas={str(state): n for state, n in overview.replica_states.items() if n},
        )
        for name, overview in sorted(application.deployments.items())
    ]


def is_running() -> bool:
    """Whether Serve says that every deployment of the application is up."""
    from ray import serve

    application = serve.status().applications.get(APPLICATION)
    return application is not None and application.status.value == "RUNNING"


def deploy(
    settings: Settings,
    report: Callable[[str], None],
    *,
    timeout_s: float,
    check: Callable[[], None],
) -> None:
    """Deploy, or update, the application and wait until each deployment is healthy.

    `check` is called twice a second, and raises where Ray has ended: who asks Ray then waits for a
    minute, and his process ends. Raises LaunchError with Serve's own words when one cannot start.
    """
    from ray import serve

    logging.getLogger("ray.serve").setLevel(logging.WARNING)  # the steps say it in their own words
    host, port = settings.http.host, settings.http.port
    options = {"host": host, "port": port, **serve_options(settings.tls)}
    serve.start(proxy_location="HeadOnly", http_options=options)
    failure: list[Exception] = []

    def run() -> None:
        try:
            serve.run(_build(settings), name=APPLICATION, route_prefix="/")
        except Exception as error:  # noqa: BLE001 - handed to the waiting thread, which raises it
            failure.append(error)

    worker = threading.Thread(target=run, name="serve-run", daemon=True)
    worker.start()
    seen = ["building"]

    def look() -> None:
        while worker.is_alive():
            try:
                seen[0] = _waiting_for()
            except Exception as error:  # noqa: BLE001 - as above
                failure.append(error)
                return
            worker.join(_POLL_S)

    threading.Thread(target=look, name="serve-look", daemon=True).start()
    deadline = time.monotonic() + timeout_s
    while worker.is_alive() and not failure:
        worker.join(_POLL_S)
        check()
        report(seen[0])
        if time.monotonic() > deadline:
            raise LaunchError(
                f"The application was not ready after {timeout_s:.0f} s: {seen[0]}.",
                fix="`everloop status` shows each deployment; its logs are in the dashboard.",
            )
    if failure:
        unhealthy = [f"{s.name}: {_reason(s.message)}" for s in deployment_states() if s.message]
        raise LaunchError(
            "The application did not start. " + (" / ".join(unhealthy) or str(failure[0]))[-2000:],
            fix="`everloop doctor` looks for the usual reasons; the dashboard has the logs.",
        ) from failure[0]


def undeploy() -> None:
    """Remove the application from a cluster that is not ours to stop."""
    from ray import serve

    serve.delete(APPLICATION)


def _build(settings: Settings) -> "Application":
    # Binding a model imports vLLM, which tells who starts Everloop what it thinks of Triton, and
    # Ray's part for it, after which every logger of this process would tell what it does.
    os.environ.setdefault("VLLM_LOGGING_LEVEL", "ERROR")
    level = logging.root.level
    module, _, name = _BUILDER.partition(":")
    try:
        return cast("Application", getattr(importlib.import_module(module), name)(settings))
    finally:
        logging.root.setLevel(level)


def _reason(message: str) -> str:
    """Return the end of Serve's message: the exception below its traceback."""
    lines = [line.strip() for line in _COLOUR.sub("", message).splitlines() if line.strip()]
    return lines[-1] if lines else message


def _waiting_for() -> str:
    states = deployment_states()
    waiting = [state.name for state in states if state.status != "HEALTHY"]
    if not states:
        return "building"
    ready = f"{len(states) - len(waiting)}/{len(states)} ready"
    return f"{ready}, waiting for {', '.join(waiting)}" if waiting else ready
