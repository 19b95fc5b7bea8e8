"""HTTP as Serve's proxy speaks it: what comes before a body has bounds, for who has no key too.

uvicorn takes a request's line and headers whole before anybody sees them, as many and as long as a
client likes, for as long as it likes. Set in by `deployments.proxy_errors`, in the proxy.
"""

import asyncio
import json
from http import HTTPStatus
from typing import Any, Final

from uvicorn.protocols.http.httptools_impl import HttpToolsProtocol

__all__ = ["BoundedHttp"]

_HEAD_BYTES: Final = 64 * 1024
_HEAD_S: Final = 30.0
_LINGER_S: Final = 1.0
_TOO_LARGE: Final = f"The request line and the headers are larger than {_HEAD_BYTES // 1024} KiB."
_TOO_SLOW: Final = f"The headers did not come within {_HEAD_S:.0f} s."
_NO_HTTP: Final = "This is no HTTP request."


class BoundedHttp(HttpToolsProtocol):
    """Refuses a head of more than 64 KiB, or half a minute, and what is no HTTP, as the API does.

    What a refused client still sends is thrown away for a second: were the connection closed at
    once, it would lose the answer.
    """

    def __init__(self, *args: Any, **options: Any) -> None:
        super().__init__(*args, **options)
        self._in_head = True
        self._head = 0
        """Bytes of the head that is being read."""
        self._heads = 0
        """Those that came whole."""
        self._refused = False
        self._timer: asyncio.TimerHandle | None = None

    def connection_made(self, transport: asyncio.Transport) -> None:  # type: ignore[override]
        """See asyncio.Protocol."""
        super().connection_made(transport)
        self._start()

    def connection_lost(self, exc: Exception | None) -> None:
        """See asyncio.Protocol."""
        self._stop()
        super().connection_lost(exc)

    def data_received(self, data: bytes) -> None:
        """See asyncio.Protocol."""
        if self._refused:
            return
        began, heads = self._in_head, self._heads
        if began and self._timer is None:  # on a connection that is used again
            self._start()
        super().data_received(data)
        if self._refused or not (began and self._in_head and self._heads == heads):
            return
        self._head += len(data)
        if self._head > _HEAD_BYTES:
            self._refuse_size()

    def on_headers_complete(self) -> None:
        """See httptools: the head came whole."""
        self._in_head, self._head = False, 0
        self._heads += 1
        self._stop()
        if sum(len(name) + len(value) for name, value in self.headers) > _HEAD_BYTES:
            self._refuse_size()
        else:
            super().on_headers_complete()

    def on_body(self, body: bytes) -> None:
        """See httptools."""
        if not self._refused:
            super().on_body(body)

    def on_message_complete(self) -> None:
        """See httptools: what follows is the next request's."""
        self._in_head = True
        if not self._refused:
            super().on_message_complete()

    def send_400_response(self, msg: str) -> None:
        """See HttpToolsProtocol, which calls it where the bytes are no HTTP."""
        self._refuse(HTTPStatus.BAD_REQUEST, _NO_HTTP, "invalid_http")

    def _start(self) -> None:
        self._timer = asyncio.get_running_loop().call_later(_HEAD_S, self._late)

    def _stop(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
            self._timer = None

    def _late(self) -> None:
        self._timer = None
        if self.cycle is not None and not self.cycle.response_complete:
            self._start()  # the answer to the request before is still being written
        elif self._head:
            self._refuse(HTTPStatus.REQUEST_TIMEOUT, _TOO_SLOW, "headers_too_slow")
        else:
            self.transport.close()

    def _refuse_size(self) -> None:
        status = HTTPStatus.REQUEST_HEADER_FIELDS_TOO_LARGE
        self._refuse(status, _TOO_LARGE, "headers_too_large")

    def _refuse(self, status: HTTPStatus, message: str, code: str) -> None:
        if self._refused:
            return
        self._refused = True
        self._stop()
        kind = "invalid_request_error"
        error = {"message": message, "type": kind, "param": None, "code": code}
        body = json.dumps({"error": error}).encode()
        head = (
            f"HTTP/1.1 {status.value} {status.phrase}\r\ncontent-type: application/json\r\n"
            f"content-length: {len(body)}\r\nconnection: close\r\n\r\n"
        )
        self.transport.write(head.encode() + body)
        self._timer = asyncio.get_running_loop().call_later(_LINGER_S, self.transport.close)
