"""What Serve's proxy says by itself, put as the API says it.

A proxy that has just begun knows no route for a moment and answers 404, which a client takes for a
final word; its other errors are plain text, in part an exception's with its stack. Loaded into the
proxy by `cluster.launch.serve_environment`, so it imports little.
"""

import json
import logging
from typing import Any, Final

from starlette.datastructures import Headers, MutableHeaders
from starlette.middleware import Middleware
from starlette.types import ASGIApp, Message, Receive, Scope, Send
from uvicorn.config import HTTP_PROTOCOLS

from deployments.proxy_headers import ProxyHeaders

__all__ = ["ProxyErrors", "middlewares"]

_OURS: Final = "x-trace-id"
"""The gateway puts it on each of its responses."""
_log = logging.getLogger(__name__)
_HTTP: Final = "deployments.proxy_protocol:BoundedHttp"
_HEALTH: Final = "/-/healthz"
_ROUTES: Final = "/-/routes"
"""Of Serve's own paths this one tells whoever asks which applications there are."""
_FIRST_ERROR: Final = 400
_RETRY_S: Final = "2"
_SAID: Final[dict[int, tuple[int, str, str]]] = {
    404: (503, "starting", "The front has just begun and does not know the application yet."),
    503: (503, "gateway_unavailable", "No gateway can take this request now."),
    0: (503, "gateway_lost", "The gateway ended while it had this request."),
}
"""By the proxy's status: the status, code and message that a client is told."""
_FAILED: Final = ("internal_error", "The gateway failed while it had this request.")
_SILENCE: Final[Message] = {"type": "http.response.start", "status": 0, "headers": []}
"""What stands for a response that never began."""


def middlewares() -> list[Middleware]:
    """What Serve puts around its proxy; the last is the outermost.

    Serve calls it before its server begins, and has no setting for the HTTP that this one speaks.
    """
    HTTP_PROTOCOLS["auto"] = _HTTP
    return [Middleware(ProxyHeaders), Middleware(ProxyErrors)]


class ProxyErrors:
    """Replaces a response that is an error and not the gateway's; others pass untouched.

    One that never begins becomes a 503, and a stream that is cut off ends with an error event.
    """

    def __init__(self, app: ASGIApp) -> None:
        self._app = app

    async def __call__(self, scope: Scope, receive: Receive, send: Send) -> None:
        """Serve one request."""
        if scope["type"] != "http" or scope["path"] == _HEALTH:
            await self._app(scope, receive, send)
            return
        if scope["path"] == _ROUTES:  # so written it is not Serve's: the gateway asks for a key
            scope = {**scope, "path": f"{_ROUTES}/", "raw_path": f"{_ROUTES}/".encode()}
        replaced = begun = ended = streamed = False

        async def say(message: Message) -> None:
            nonlocal replaced, begun, ended, streamed
            if replaced:  # the rest of the proxy's own words
                return
            replaced = _is_the_proxys(message)
            if replaced:
                begun = ended = True
                await _say_all(send, *_in_our_words(message))
                return
            if message["type"] == "http.response.start":
                begun, streamed = True, _is_stream(message)
            elif not message.get("more_body", False):
                ended = True
            await send(message)

        try:
            await self._app(scope, receive, say)
        except Exception:
            if begun:
                raise
            _log.exception("Serve's proxy failed at %s %s", scope["method"], scope["path"])
            await _say_all(send, *_in_our_words({**_SILENCE, "status": 500}))
            return
        if not begun:  # Serve says nothing of a gateway that died
            await _say_all(send, *_in_our_words(_SILENCE))
        elif streamed and not ended:
            await send({"type": "http.response.body", "body": _last_event()})


async def _say_all(send: Send, head: Message, body: bytes) -> None:
    await send(head)
    await send({"type": "http.response.body", "body": body})


def _is_stream(start: Message) -> bool:
    kind = Headers(raw=list(start["headers"])).get("content-type", "")
    return kind.startswith("text/event-stream")


def _is_the_proxys(message: Message) -> bool:
    return (
        message["type"] == "http.response.start"
        and message["status"] >= _FIRST_ERROR
        and _OURS not in Headers(raw=list(message["headers"]))
    )


def _in_our_words(start: Message) -> tuple[Message, bytes]:
    status, code, text = _SAID.get(start["status"], (start["status"], *_FAILED))
    body = json.dumps({"error": _error(code, text)}).encode()
    head: Message = {**start, "status": status, "headers": list(start["headers"])}
    headers = MutableHeaders(scope=head)
    headers["content-type"] = "application/json"
    headers["content-length"] = str(len(body))
    if status == 503:
        headers.setdefault("retry-after", _RETRY_S)
    return head, body


def _error(code: str, text: str) -> dict[str, Any]:
    return {"message": text, "type": "server_error", "param": None, "code": code}


def _last_event() -> bytes:
    """An error event, for chats and responses alike; what came before may end in the midst."""
    _, code, text = _SAID[_SILENCE["status"]]
    error = _error(code, text)
    data = json.dumps({**error, "type": "error", "error": error})
    return f"\n\nevent: error\ndata: {data}\n\n".encode()
