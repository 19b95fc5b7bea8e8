"""Export of traces by OpenTelemetry's protocol (OTLP over HTTP), beside the records."""

import logging
import threading
import time
from collections import deque
from collections.abc import Mapping
from typing import TYPE_CHECKING, Any, Final

from cluster.sections.tracing import OtlpSettings
from deployments.tracing.spans import spans_of

if TYPE_CHECKING:
    from opentelemetry.sdk.trace.export import SpanExporter

__all__ = ["SpanExport"]

_log = logging.getLogger(__name__)
_BATCH: Final = 64
"""Traces that one request carries."""
_LOG_EVERY_S: Final = 30.0
_CLOSE_S: Final = 5.0


class SpanExport:
    """Sends traces in a thread of its own.

    At most `max_queued` wait. What a collector that is down or slow does not take is dropped and
    counted; nobody waits for it.
    """

    def __init__(self, exporter: "SpanExporter", *, max_queued: int, content: bool) -> None:
        from opentelemetry.sdk.resources import Resource

        self._exporter: Final = exporter
        self._max_queued: Final = max_queued
        self._content: Final = content
        self._resource: Final = Resource.create({"service.name": "everloop"})
        self._queue: Final[deque[tuple[Mapping[str, Any], int]]] = deque()
        self._changed: Final = threading.Condition()
        self._closing = False
        self._logged_at = -_LOG_EVERY_S
        self.exported = 0
        """Traces that a collector took."""
        self.dropped = 0
        """Traces that none did."""
        self._thread: Final = threading.Thread(target=self._run, name="otlp", daemon=True)
        self._thread.start()

    @classmethod
    def of(cls, settings: OtlpSettings) -> "SpanExport":
        """Make what the settings say. Their `endpoint` must be there."""
        from opentelemetry.exporter.otlp.proto.http.trace_exporter import OTLPSpanExporter

        exporter = OTLPSpanExporter(
            endpoint=settings.endpoint, headers=settings.headers, timeout=settings.timeout_s
        )
        return cls(exporter, max_queued=settings.max_queued, content=settings.content)

    def offer(self, row: Mapping[str, Any], began_ns: int) -> None:
        """Export a trace's row some time. Never waits; from any thread.

        `began_ns`: when its request came, in nanoseconds since the epoch.
        """
        with self._changed:
            if self._closing or len(self._queue) >= self._max_queued:
                self.dropped += 1
                return
            self._queue.append((row, began_ns))
            self._changed.notify()

    def close(self) -> None:
        """Export what waits, for a few seconds at most, and stop; what is left is dropped."""
        with self._changed:
            self._closing = True
            self._changed.notify()
        self._thread.join(_CLOSE_S)
        self._exporter.shutdown()  # a request that is under way gives up
        self._thread.join(_CLOSE_S)
        with self._changed:
            self.dropped += len(self._queue)
            self._queue.clear()

    def _run(self) -> None:
        while batch := self._next():
            try:
                taken = self._send(batch)
            except Exception:  # noqa: BLE001 - the thread's edge: one bad trace must not end it
                _log.exception("Traces could not be exported")
                taken = False
            if taken:
                self.exported += len(batch)
                continue
            with self._changed:
                self.dropped += len(batch)
            if time.monotonic() - self._logged_at >= _LOG_EVERY_S:
                self._logged_at = time.monotonic()
                _log.warning("The collector took no traces; %d are lost so far", self.dropped)

    def _send(self, batch: list[tuple[Mapping[str, Any], int]]) -> bool:
        from opentelemetry.sdk.trace.export import SpanExportResult

        spans = [
            span
            for row, began_ns in batch
            for span in spans_of(row, began_ns, self._resource, content=self._content)
        ]
        return not spans or self._exporter.export(spans) is SpanExportResult.SUCCESS

    def _next(self) -> list[tuple[Mapping[str, Any], int]]:
        """What is to be sent; nothing at the end."""
        with self._changed:
            while not self._queue and not self._closing:
                self._changed.wait()
            return [self._queue.popleft() for _ in range(min(_BATCH, len(self._queue)))]
