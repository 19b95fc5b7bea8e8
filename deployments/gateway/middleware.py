"""Pure ASGI layers around the routes, outermost first: identity, deadline, body.

Pure ASGI so that streams pass untouched and a client that disconnects is seen by the routes.
"""

import asyncio
import logging
import re
import time
from typing import Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.requests import ClientDisconnect
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from cluster.ids import new_id
from deployments.errors import (
    DeadlineExceeded,
    InvalidRequest,
    PayloadTooLarge,
    RequestError,
    UnsupportedMedia,
)
from deployments.gateway.error_bodies import error_events, error_response, internal_error_response
from deployments.gateway.json_bodies import check_json
from deployments.gateway.measures import measures
from deployments.limits.lease import Lease
from deployments.proxy_headers import SANE_ID
from deployments.tracing.draft import CLIENT_CLOSED, TraceDraft
from deployments.tracing.policy import KEEP_HEADER
from deployments.tracing.writer import TraceWriter

__all__ = ["BodyRules", "Deadline", "RequestIdentity"]

_log = logging.getLogger(__name__)
_TRACEPARENT: Final = re.compile(r"[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
"""W3C Trace Context, level 1: version, trace, parent span, flags."""
_BODY_METHODS: Final = frozenset({"POST", "PUT", "PATCH"})
_MULTIPART_ENVELOPE: Final = 1024**2


class RequestIdentity:
    """Gives every request an id and a trace, logs what broke, counts and times it.

    A client's own `x-request-id` is kept where it is at most 128 harmless characters. Where
    `behind_serve`, Serve's proxy has named the request already and puts the header on the response;
    a second one would be joined to it with a comma.
    """

    def __init__(self, app: ASGIApp, traces: TraceWriter, *, behind_serve: bool = False) -> None:
        self._app = app
        self._traces = traces
        self._behind_serve = behind_serve

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        headers = Headers(scope=scope)
        given = headers.get("x-request-id", "")
        name = given if SANE_ID.fullmatch(given) else new_id("req")
        trace = TraceDraft(request_id=name, keep=headers.get(KEEP_HEADER) == "keep")
        if _TRACEPARENT.fullmatch(parent := headers.get("traceparent", "")):
            trace.body["traceparent"] = parent
        scope.setdefault("state", {}).update(request_id=name, trace=trace)
        status = 0

        async def send_named(message: Message) -> None:
            nonlocal status
            if message["type"] == "http.response.start":
                status = message["status"]
                told = MutableHeaders(scope=message)
                if not self._behind_serve:
                    told["x-request-id"] = name
                told["x-trace-id"] = trace.id
                if trace.arm is not None:
                    told["x-everloop-arm"] = trace.arm
                lease: Lease | None = scope["state"].get("lease")
                for header, value in lease.headers().items() if lease is not None else ():
                    told[header] = value
            await send(message)

        try:
            await self._app(scope, receive, send_named)
        except asyncio.CancelledError:  # Serve's word that the client went, or that it shuts down
            if trace.status < _FIRST_ERROR:
                trace.leave()
            raise
        except Exception:
            _log.exception("Request %s (%s %s) failed", name, scope["method"], scope["path"])
            trace.body["error"] = {"message": "The server failed.", "code": "internal_error"}
            if status:  # the client has a status already; a broken stream tells it the rest
                status = 500
                raise
            await internal_error_response(name)(scope, receive, send_named)
        finally:
            self._finish(scope, trace, status)

    def _finish(self, scope: Scope, trace: TraceDraft, status: int) -> None:
        if trace.status < _FIRST_ERROR:  # else a stream that began well has noted how it ended
            trace.status = status or CLIENT_CLOSED
        trace.finish()
        route = getattr(scope.get("route"), "path", "unknown")
        measures().count(scope["method"], route, trace.status, (trace.duration_ms or 0.0) / 1000)
        if resumed := trace.body.get("resumed"):
            measures().resumed(len(resumed))
        if trace.route:
            self._traces.record(trace)
            measures().traces(self._traces.counts())


_FIRST_ERROR: Final = 400


class Deadline:
    """Ends a request that takes longer than allowed: 504, or an error event in a started stream.

    The client may ask for less with `x-request-timeout` (seconds), never for more.
    """

    def __init__(self, app: ASGIApp, timeout_s: float) -> None:
        self._app = app
        self._timeout_s = timeout_s

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http":
            await self._app(scope, receive, send)
            return
        try:
            allowed = self._allowed(Headers(scope=scope).get("x-request-timeout"))
        except RequestError as error:
            await error_response(error)(scope, receive, send)
            return
        scope["state"]["deadline"] = time.monotonic() + allowed
        trace: TraceDraft = scope["state"]["trace"]
        started = streaming = ended = False

        async def watched(message: Message) -> None:
            nonlocal started, streaming, ended
            if message["type"] == "http.response.start":
                started = True
                kind = Headers(raw=message["headers"]).get("content-type", "")
                streaming = kind.startswith("text/event-stream")
            elif message["type"] == "http.response.body":
                ended = not message.get("more_body", False)
            await send(message)

        try:
            async with asyncio.timeout(allowed) as clock:
                await self._app(scope, receive, watched)
        except TimeoutError:
            if not clock.expired():
                raise
            late = DeadlineExceeded(
                f"The request took longer than its deadline of {allowed:g} s. Ask for less, or "
                "raise `http.request_timeout_s`.",
                code="deadline_exceeded",
            )
            trace.fail(late)
            if not started:
                await error_response(late)(scope, receive, send)
            elif streaming and not ended:
                events = error_events(late)
                await send({"type": "http.response.body", "body": events, "more_body": False})
            elif not ended:
                raise

    def _allowed(self, header: str | None) -> float:
        if header is None:
            return self._timeout_s
        try:
            wished = float(header)
        except ValueError:
            wished = -1.0
        if not wished > 0:
            raise InvalidRequest(
                f"x-request-timeout is {header[:64]!r}; it must be a number of seconds above 0.",
                param="x-request-timeout",
            )
        return min(wished, self._timeout_s)


class BodyRules:
    """Refuses bodies that are too large (413), of another type (415) or no sound JSON (400).

    Size is counted as the bytes arrive. A JSON body is read whole before a route sees it; an upload
    passes through.
    """

    def __init__(
        self,
        app: ASGIApp,
        max_body_bytes: int,
        max_file_bytes: int,
        max_json_depth: int,
        max_json_items: int,
    ) -> None:
        self._app = app
        self._max_body_bytes = max_body_bytes
        self._max_upload_bytes = max_file_bytes + _MULTIPART_ENVELOPE
        self._max_depth = max_json_depth
        self._max_items = max_json_items

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["method"] not in _BODY_METHODS:
            await self._app(scope, receive, send)
            return
        upload = scope["path"].rstrip("/").endswith("/v1/files")
        limit = self._max_upload_bytes if upload else self._max_body_bytes
        try:
            _check_headers(Headers(scope=scope), limit, upload=upload)
            if not upload:
                receive = await self._read(receive, limit)
        except RequestError as error:
            scope["state"]["trace"].fail(error)
            await error_response(error)(scope, receive, send)
            return
        except ClientDisconnect:
            return
        if upload:
            await self._pass_on(scope, receive, send, limit)
        else:
            await self._app(scope, receive, send)

    async def _read(self, receive: Receive, limit: int) -> Receive:
        """The body in one piece, checked, and after it what else the client does."""
        body, more = bytearray(), True
        while more:
            message = await receive()
            if message["type"] != "http.request":
                raise ClientDisconnect
            body += message.get("body", b"")
            more = message.get("more_body", False)
            if len(body) > limit:
                raise _too_large(limit)
        whole = bytes(body)
        check_json(whole, max_depth=self._max_depth, max_items=self._max_items)
        read = False

        async def given() -> Message:
            nonlocal read
            if read:
                return await receive()
            read = True
            return {"type": "http.request", "body": whole, "more_body": False}

        return given

    async def _pass_on(self, scope: Scope, receive: Receive, send: Send, limit: int) -> None:
        seen, started = 0, False

        async def counted() -> Message:
            nonlocal seen
            message = await receive()
            if message["type"] == "http.request":
                seen += len(message.get("body", b""))
                if seen > limit:
                    raise _too_large(limit)
            return message

        async def watched(message: Message) -> None:
            nonlocal started
            if seen > limit and not started:
                return  # the framework's word for a body it could not read; ours follows
            started = started or message["type"] == "http.response.start"
            await send(message)

        try:
            await self._app(scope, counted, watched)
        except ClientDisconnect:
            return
        except PayloadTooLarge:
            if started or seen <= limit:
                raise
        if seen > limit and not started:
            await error_response(_too_large(limit))(scope, receive, send)


def _too_large(limit: int) -> PayloadTooLarge:
    return PayloadTooLarge(
        f"The request body is larger than the {limit} bytes allowed here.", code="body_too_large"
    )


def _check_headers(headers: Headers, limit: int, *, upload: bool) -> None:
    length = headers.get("content-length")
    if length is not None and length.isdecimal() and int(length) > limit:
        raise _too_large(limit)
    if (length is None and "transfer-encoding" not in headers) or length == "0":
        return
    wanted = "multipart/form-data" if upload else "application/json"
    kind = headers.get("content-type", "").partition(";")[0].strip().lower()
    if kind != wanted:
        raise UnsupportedMedia(
            f"The content type is {kind[:64] or 'missing'}; this route reads {wanted}.",
            code="unsupported_content_type",
        )
