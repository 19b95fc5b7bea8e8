"""The digest that says whether two requests are the same."""

import hashlib
from typing import Final

from starlette.datastructures import Headers
from starlette.types import Message, Receive, Scope

__all__ = ["BodyDigest"]

_BOUNDARY: Final = b"\0boundary\0"


class BodyDigest:
    """SHA-256 of method, path and body, taken as the body is read: none of it is kept.

    The boundary between the parts of a form counts for nothing: clients draw a new one for each
    try.
    """

    def __init__(self, scope: Scope) -> None:
        self._digest = hashlib.sha256()
        for part in (scope["method"].encode(), scope["path"].encode(), scope["query_string"]):
            self._digest.update(len(part).to_bytes(8, "big") + part)
        self._boundary = _boundary(Headers(scope=scope).get("content-type", ""))
        self._tail = b""
        self.complete = False
        """Whether the body was read to its end."""

    def reading(self, receive: Receive) -> Receive:
        """`receive`, with its messages counted in."""

        async def counted() -> Message:
            message = await receive()
            if message["type"] == "http.request":
                self.update(message.get("body", b""))
                self.complete = not message.get("more_body", False)
            return message

        return counted

    async def drain(self, receive: Receive) -> None:
        """Read what is left of the body, or until the client has gone."""
        counted = self.reading(receive)
        while not self.complete and (await counted())["type"] == "http.request":
            pass

    def update(self, data: bytes) -> None:
        """Count in a piece of the body."""
        if not self._boundary:
            self._digest.update(data)
            return
        *parts, rest = (self._tail + data).split(self._boundary)
        for part in parts:
            self._digest.update(part + _BOUNDARY)
        kept = len(self._boundary) - 1
        self._digest.update(rest[:-kept])
        self._tail = rest[-kept:]

    def value(self) -> str:
        """Of what was read so far, hex."""
        digest = self._digest.copy()
        digest.update(self._tail)
        return digest.hexdigest()


def _boundary(content_type: str) -> bytes:
    from python_multipart.multipart import parse_options_header

    kind, options = parse_options_header(content_type)
    boundary = options.get(b"boundary", b"") if kind == b"multipart/form-data" else b""
    return boundary if len(boundary) > 1 else b""
