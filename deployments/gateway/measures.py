"""The gateway's own metrics: Ray's inside a cluster, a local Prometheus registry outside one.

Ray's agent on each node gathers what every replica there measures, so `/metrics` of any replica
tells about all of them.
"""

import functools
from typing import Any, Final, Protocol

from deployments.tracing.counts import TraceCounts

__all__ = ["LocalMeasures", "Measures", "measures"]

_SECONDS: Final = (0.005, 0.025, 0.1, 0.25, 0.5, 1.0, 2.5, 5.0, 10.0, 30.0, 120.0)
_REQUESTS: Final = ("everloop_gateway_requests", "Requests by route and status.")
_DURATION: Final = ("everloop_gateway_request_seconds", "Seconds from request to response end.")
_DROPPED: Final = ("everloop_gateway_traces_dropped", "Traces that were lost in this replica.")
_LEFT_OUT: Final = ("everloop_gateway_shadows_left_out", "Shadow requests that had no place.")
_RESUMED: Final = (
    "everloop_gateway_answers_resumed",
    "Times that a model's answer went on in another replica.",
)
_TRACES: Final = ("everloop_gateway_traces", "Traces of this replica by what became of them.")
_OUTCOMES: Final = ("written", "waiting", "sampled_out", "exported", "export_dropped")
_LABELS: Final = ("method", "route", "status")


class Measures(Protocol):
    """What the gateway counts."""

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request has ended."""

    def traces(self, counts: TraceCounts) -> None:
        """What has become of this replica's traces since it started."""

    def shadow_left_out(self) -> None:
        """A shadow request had no place."""

    def resumed(self, times: int) -> None:
        """A request's answer went on in another replica so often."""


class LocalMeasures:
    """In a `prometheus_client` registry of this process."""

    def __init__(self) -> None:
        from prometheus_client import CollectorRegistry, Counter, Gauge, Histogram

        self.registry: Any = CollectorRegistry()
        self._requests = Counter(*_REQUESTS, _LABELS, registry=self.registry)
        self._seconds = Histogram(*_DURATION, _LABELS[:2], buckets=_SECONDS, registry=self.registry)
        self._dropped = Gauge(*_DROPPED, registry=self.registry)
        self._left_out = Counter(*_LEFT_OUT, registry=self.registry)
        self._resumed = Counter(*_RESUMED, registry=self.registry)
        self._traces = Gauge(*_TRACES, ["outcome"], registry=self.registry)

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        """One request has ended."""
        self._requests.labels(method, route, str(status)).inc()
        self._seconds.labels(method, route).observe(seconds)

    def traces(self, counts: TraceCounts) -> None:
        """Set the gauges."""
        self._dropped.set(counts.dropped)
        for outcome in _OUTCOMES:
            self._traces.labels(outcome).set(getattr(counts, outcome))

    def shadow_left_out(self) -> None:
        """Count it."""
        self._left_out.inc()

    def resumed(self, times: int) -> None:
        """Count them."""
        self._resumed.inc(times)

    def text(self) -> str:
        """Return the registry in Prometheus' text format."""
        from prometheus_client import generate_latest

        return generate_latest(self.registry).decode()


class _RayMeasures:
    def __init__(self) -> None:
        from ray.util.metrics import Counter, Gauge, Histogram

        name, text = _REQUESTS
        self._requests = Counter(name, description=text, tag_keys=_LABELS)
        name, text = _DURATION
        self._seconds = Histogram(
            name, description=text, boundaries=list(_SECONDS), tag_keys=_LABELS[:2]
        )
        name, text = _DROPPED
        self._dropped = Gauge(name, description=text)
        name, text = _LEFT_OUT
        self._left_out = Counter(name, description=text)
        name, text = _RESUMED
        self._resumed = Counter(name, description=text)
        self._dropped.set(0)
        name, text = _TRACES
        self._traces = Gauge(name, description=text, tag_keys=("outcome",))
        self._told = TraceCounts()

    def count(self, method: str, route: str, status: int, seconds: float) -> None:
        tags = {"method": method, "route": route}
        self._requests.inc(tags={**tags, "status": str(status)})
        self._seconds.observe(seconds, tags=tags)

    def traces(self, counts: TraceCounts) -> None:
        if counts.dropped != self._told.dropped:
            self._dropped.set(counts.dropped)
        for outcome in _OUTCOMES:
            if (count := getattr(counts, outcome)) != getattr(self._told, outcome):
                self._traces.set(count, tags={"outcome": outcome})
        self._told = counts

    def shadow_left_out(self) -> None:
        self._left_out.inc()

    def resumed(self, times: int) -> None:
        self._resumed.inc(times)


@functools.cache
def measures() -> Measures:
    """Return this process's measures, by whether it is a worker of a Ray cluster."""
    import ray

    return _RayMeasures() if ray.is_initialized() else LocalMeasures()
