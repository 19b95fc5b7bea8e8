"""The answer of a request, held until it is kept; a stream of events passes as it comes."""

from typing import Final

from starlette.datastructures import Headers
from starlette.types import Message, Send

__all__ = ["Answer"]

_KEPT_BYTES: Final = 4 * 1024**2
_REPLAYED: Final = (b"idempotency-replayed", b"true")


class Answer:
    """ASGI messages of one response."""

    def __init__(self, passing: Send | None = None) -> None:
        """`passing` takes what is not held back."""
        self._passing = passing
        self._messages: list[Message] = []
        self._bytes = 0
        self.status = 0
        """0 until there is one."""
        self.streamed = False
        """Whether it is a stream of events, which is not kept."""
        self._ended = False

    @classmethod
    def again(cls, status: int, text: str) -> "Answer":
        """An answer that was given before."""
        body = text.encode()
        headers = [(b"content-type", b"application/json"), _REPLAYED]
        headers.append((b"content-length", str(len(body)).encode()))
        answer = cls()
        answer._messages = [
            {"type": "http.response.start", "status": status, "headers": headers},
            {"type": "http.response.body", "body": body, "more_body": False},
        ]
        return answer

    async def take(self, message: Message) -> None:
        """Take a message of the response; the `send` of what answers."""
        if message["type"] == "http.response.start":
            self.status = message["status"]
            kind = Headers(raw=message["headers"]).get("content-type", "")
            self.streamed = kind.startswith("text/event-stream")
        elif message["type"] == "http.response.body":
            self._bytes += len(message.get("body", b""))
            self._ended = not message.get("more_body", False)
        if self.streamed and self._passing is not None:
            await self._passing(message)
        else:
            self._messages.append(message)

    @property
    def is_whole(self) -> bool:
        """Whether it came to its end, and can be kept."""
        return self._ended and not self.streamed and self._bytes <= _KEPT_BYTES

    def text(self) -> str:
        """Its body."""
        return b"".join(message.get("body", b"") for message in self._messages).decode()

    async def send(self, send: Send) -> None:
        """Send what was held back."""
        for message in self._messages:
            await send(message)
