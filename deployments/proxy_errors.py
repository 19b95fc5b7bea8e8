"""What Serve's proxy says by itself, put as the API says it.

A proxy that has just begun knows no route for a moment and answers 404, which a client takes for a
final word; its other errors are plain text, in part an exception's with its stack. Loaded into the
proxy by `cluster.launch.serve_environment`, so it imports little.
"""

import json
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.proxy_headers import ProxyHeaders

__all__ = ["ProxyErrors", "middlewares"]

_OURS: Final = "x-trace-id"
"""The gateway puts it on each of its responses."""
_HEALTH: Final = "/-/healthz"
_ROUTES: Final = "/-/routes"
"""Of Serve's own paths this one tells whoever asks which applications there are."""
_FIRST_ERROR: Final = 400
_RETRY_S: Final = "2"
_SAID: Final[dict[int, tuple[int, str, str]]] = {
    404: (503, "starting", "The front has just begun and does not know the application yet."),
    503: (503, "gateway_unavailable", "No gateway can take this request now."),
}
"""By the proxy's status: the status, code and message that a client is told."""
_FAILED: Final = ("internal_error", "The gateway failed while it had this request.")


def middlewares() -> list[Middleware]:
    """What Serve puts around its proxy; the last is the outermost."""
    return [Middleware(ProxyHeaders), Middleware(ProxyErrors)]


class ProxyErrors:
    """Replaces a response that is an error and not the gateway's; others pass untouched."""

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] == _HEALTH:
            await self._app(scope, receive, send)
            return
        if scope["path"] == _ROUTES:  # so written it is not Serve's: the gateway asks for a key
            scope = {**scope, "path": f"{_ROUTES}/", "raw_path": f"{_ROUTES}/".encode()}
        replaced = False

        async def say(message: Message) -> None:
            nonlocal replaced
            if replaced:  # the rest of the proxy's own words
                return
            replaced = _is_the_proxys(message)
            if not replaced:
                await send(message)
                return
            head, body = _in_our_words(message)
            await send(head)
            await send({"type": "http.response.body", "body": body})

        await self._app(scope, receive, say)


def _is_the_proxys(message: Message) -> bool:
    return (
        message["type"] == "http.response.start"
        and message["status"] >= _FIRST_ERROR
        and _OURS not in Headers(raw=list(message["headers"]))
    )


def _in_our_words(start: Message) -> tuple[Message, bytes]:
    status, code, text = _SAID.get(start["status"], (start["status"], *_FAILED))
    error: dict[str, Any] = {"message": text, "type": "server_error", "param": None, "code": code}
    body = json.dumps({"error": error}).encode()
    head: Message = {**start, "status": status, "headers": list(start["headers"])}
    headers = MutableHeaders(scope=head)
    headers["content-type"] = "application/json"
    headers["content-length"] = str(len(body))
    if status == 503:
        headers.setdefault("retry-after", _RETRY_S)
    return head, body
