"""An OpenTelemetry collector that remembers what it was sent, decoded from the wire."""

import threading
from collections.abc import Iterator
from contextlib import contextmanager
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from typing import Any

__all__ = ["Collector", "running_collector"]


class Collector:
    """What came in, and what is answered."""

    def __init__(self) -> None:
        self.url = ""
        self.status = 200
        self.headers: list[dict[str, str]] = []
        self.spans: list[Any] = []
        """`opentelemetry.proto.trace.v1.Span`s in the order of coming."""
        self.services: set[str] = set()
        self.go = threading.Event()
        """Cleared: requests are not answered."""
        self.go.set()

    def take(self, headers: dict[str, str], data: bytes) -> int:
        """Decode one request; the status to answer it with."""
        from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
            ExportTraceServiceRequest,
        )

        self.go.wait(30)
        self.headers.append(headers)
        if self.status != 200:
            return self.status
        for resource in ExportTraceServiceRequest.FromString(data).resource_spans:
            named = {a.key: a.value.string_value for a in resource.resource.attributes}
            self.services.add(named["service.name"])
            for scope in resource.scope_spans:
                self.spans += scope.spans
        return 200


@contextmanager
def running_collector() -> Iterator[Collector]:
    """Serve one from a thread, on a port of the loopback address."""
    collector = Collector()

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            data = self.rfile.read(int(self.headers["content-length"]))
            status = collector.take({k.lower(): v for k, v in self.headers.items()}, data)
            self.send_response(status)
            self.send_header("content-length", "0")
            self.end_headers()

        def log_message(self, *_: Any) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    collector.url = f"http://127.0.0.1:{server.server_port}/v1/traces"
    thread = threading.Thread(target=server.serve_forever, name="collector", daemon=True)
    thread.start()
    try:
        yield collector
    finally:
        collector.go.set()
        server.shutdown()
        thread.join()
        server.server_close()
