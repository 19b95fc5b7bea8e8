"""Ray Serve's switches, set before Ray starts.

The raylet hands them to the controller, the proxy and every replica. On a cluster that is not ours
to start they are the operator's to set; everything works without them, a little slower.
"""

from typing import Final

__all__ = ["SERVE_ENVIRONMENT"]

SERVE_ENVIRONMENT: Final[dict[str, str]] = {
    "RAY_SERVE_LOG_TO_STDERR": "0",
    # How often the load is told to the controller, so that replicas follow it within seconds.
    "RAY_SERVE_HANDLE_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "2",
    "RAY_SERVE_REPLICA_AUTOSCALING_METRIC_PUSH_INTERVAL_S": "2",
    # A replica whose engine hangs is not asked to finish its calls first.
    "RAY_SERVE_FORCE_STOP_UNHEALTHY_REPLICAS": "1",
    # After three checks without an answer a proxy is replaced: in seconds, not half a minute.
    "RAY_SERVE_PROXY_HEALTH_CHECK_PERIOD_S": "2",
    # The proxy's own errors are put as the API puts its: else they show stacks, and 404 at a start.
    "RAY_SERVE_HTTP_PROXY_CALLBACK_IMPORT_PATH": "deployments.proxy_errors.middlewares",
    # Our deployments never block their loop: one loop a replica saves two thread switches a token.
    "RAY_SERVE_RUN_USER_CODE_IN_SEPARATE_THREAD": "0",
    "RAY_SERVE_RUN_ROUTER_IN_SEPARATE_LOOP": "0",
    # What Serve does ten times a second in every process, it does often enough every half second;
    # on a small machine the engine has the rest.
    "RAY_SERVE_CONTROL_LOOP_INTERVAL_S": "0.5",
    "RAY_SERVE_METRICS_EXPORT_INTERVAL_MS": "2000",
}
