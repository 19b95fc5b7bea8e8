"""A request as bytes, what came back, and the two ways there: into the application, to a URL."""

import asyncio
import time
from collections import Counter
from collections.abc import Iterable
from dataclasses import dataclass, replace
from typing import Final, Protocol, Self
from urllib.parse import unquote, urlsplit

from starlette.types import ASGIApp, Message, Receive, Scope

__all__ = ["Answer", "AsgiSender", "Attempt", "Sender", "UrlSender"]

Header = tuple[bytes, bytes]
_METHODS: Final = frozenset({"GET", "HEAD", "POST", "PUT", "PATCH", "DELETE", "OPTIONS", "TRACE"})


@dataclass(frozen=True, slots=True)
class Attempt:
    """One request, as it goes over the wire."""

    origin: str
    """The operation that it was made for, and what was done to it since."""
    method: str
    target: bytes
    """Path and query."""
    headers: tuple[Header, ...] = ()
    chunks: tuple[bytes, ...] = ()
    cut: bool = False
    """The client goes before the body's end."""

    def header(self, name: bytes) -> bytes:
        """The first of that name, or nothing."""
        return next((value for key, value in self.headers if key.lower() == name), b"")

    def with_header(self, name: bytes, value: bytes) -> Self:
        """The same, where `name` has this value only."""
        kept = (pair for pair in self.headers if pair[0].lower() != name)
        return replace(self, headers=(*kept, (name, value)))

    def with_body(self, body: bytes) -> Self:
        """The same, with another body of a true length."""
        return replace(self, chunks=(body,)).with_header(b"content-length", b"%d" % len(body))

    @property
    def body(self) -> bytes:
        """All of it."""
        return b"".join(self.chunks)

    @property
    def is_http(self) -> bool:
        """Whether a server can tell where it ends, and knows its method."""
        names = Counter(name.lower() for name, _ in self.headers)
        length = self.header(b"content-length")
        return (
            self.method in _METHODS
            and names[b"content-length"] + names[b"transfer-encoding"] <= 1
            and (length.isdigit() or not names[b"content-length"])
        )


@dataclass(frozen=True, slots=True)
class Answer:
    """What came back. Status 0: nothing did."""

    status: int
    headers: tuple[Header, ...]
    body: bytes
    seconds: float
    crash: str = ""
    """The exception that left the application."""

    @property
    def kind(self) -> str:
        """Its content type."""
        found = (value for name, value in self.headers if name.lower() == b"content-type")
        return next(found, b"").decode("latin-1").partition(";")[0]


class Sender(Protocol):
    """A way to the system."""

    async def send(self, attempt: Attempt) -> Answer:
        """Send it and wait for the whole answer, or for the limit."""
        ...


class AsgiSender:
    """Calls the application, in this process, with what a server would make of the bytes."""

    def __init__(self, app: ASGIApp, limit_s: float) -> None:
        self._app = app
        self._limit_s = limit_s

    async def send(self, attempt: Attempt) -> Answer:
        """See Sender."""
        taken = _Taken()
        start = time.monotonic()
        crash = ""
        try:
            async with asyncio.timeout(self._limit_s):
                await self._app(_scope(attempt), _receiver(attempt), taken.send)
        except TimeoutError:
            crash = "hang"
        except Exception as error:  # noqa: BLE001 - the finding itself
            crash = f"{type(error).__name__}: {error}"[:500]
        return Answer(
            taken.status, taken.headers, bytes(taken.body), time.monotonic() - start, crash
        )


class _Taken:
    def __init__(self) -> None:
        self.status = 0
        self.headers: tuple[Header, ...] = ()
        self.body = bytearray()

    async def send(self, message: Message) -> None:
        if message["type"] == "http.response.start":
            self.status = message["status"]
            self.headers = tuple(message.get("headers", ()))
        elif message["type"] == "http.response.body":
            self.body += message.get("body", b"")


def _scope(attempt: Attempt) -> Scope:
    """As uvicorn makes it."""
    path, _, query = attempt.target.partition(b"?")
    return {
        "type": "http",
        "asgi": {"version": "3.0", "spec_version": "2.3"},
        "http_version": "1.1",
        "method": attempt.method,
        "scheme": "http",
        "path": unquote(path.decode("ascii")),
        "raw_path": path,
        "query_string": query,
        "root_path": "",
        "headers": [(name.lower(), value) for name, value in attempt.headers],
        "client": ("127.0.0.1", 1),
        "server": ("127.0.0.1", 80),
        "state": {},
    }


def _receiver(attempt: Attempt) -> Receive:
    chunks = list(attempt.chunks) or [b""]
    messages: list[Message] = [
        {"type": "http.request", "body": chunk, "more_body": attempt.cut or place < len(chunks) - 1}
        for place, chunk in enumerate(chunks)
    ]
    waiting = asyncio.Event()

    async def receive() -> Message:
        if messages:
            return messages.pop(0)
        if not attempt.cut:
            await waiting.wait()  # the client stays until it has its answer
        return {"type": "http.disconnect"}

    return receive


class UrlSender:
    """Writes the bytes to a socket of a running system."""

    def __init__(self, url: str, limit_s: float, key: str | None = None) -> None:
        parts = urlsplit(url)
        self._host = parts.hostname or "127.0.0.1"
        self._port = parts.port or 80
        self._limit_s = limit_s
        self._key = key

    async def send(self, attempt: Attempt) -> Answer:
        """See Sender."""
        start = time.monotonic()
        data = b""
        crash = ""
        try:
            async with asyncio.timeout(self._limit_s):
                data = await self._talk(attempt)
        except TimeoutError:
            crash = "hang"
        except ConnectionError:
            pass  # a server may hang up on what is no HTTP
        return _parsed(data, attempt.method, time.monotonic() - start, crash)

    async def _talk(self, attempt: Attempt) -> bytes:
        reader, writer = await asyncio.open_connection(self._host, self._port)
        try:
            writer.write(b"".join(self._wire(attempt)))
            await writer.drain()
            if attempt.cut:
                return b""
            return await reader.read()
        finally:
            writer.close()

    def _wire(self, attempt: Attempt) -> Iterable[bytes]:
        yield attempt.method.encode() + b" " + attempt.target + b" HTTP/1.1\r\n"
        yield f"Host: {self._host}:{self._port}\r\nConnection: close\r\n".encode()
        if self._key and not attempt.header(b"authorization"):
            yield f"Authorization: Bearer {self._key}\r\n".encode()
        chunked = attempt.header(b"transfer-encoding") == b"chunked"
        for name, value in attempt.headers:
            if name.lower() not in (b"host", b"connection"):
                yield name + b": " + value + b"\r\n"
        yield b"\r\n"
        for chunk in attempt.chunks:
            yield b"%x\r\n%b\r\n" % (len(chunk), chunk) if chunked and chunk else chunk
        if chunked and not attempt.cut:
            yield b"0\r\n\r\n"


def _parsed(data: bytes, method: str, seconds: float, crash: str) -> Answer:
    """Read an answer that ended with the connection."""
    head, _, body = data.partition(b"\r\n\r\n")
    lines = head.split(b"\r\n")
    words = lines[0].split()
    if len(words) < 2 or not words[1].isdigit():
        return Answer(0, (), b"", seconds, crash)
    pairs = [line.partition(b":") for line in lines[1:]]
    headers = tuple((name.strip().lower(), value.strip()) for name, _, value in pairs)
    if (b"transfer-encoding", b"chunked") in headers:
        body = _dechunked(body)
    return Answer(int(words[1]), headers, body, seconds, crash)


def _dechunked(data: bytes) -> bytes:
    body = bytearray()
    while data:
        size, _, data = data.partition(b"\r\n")
        length = int(size.split(b";")[0] or b"0", 16)
        body += data[:length]
        data = data[length + 2 :]
        if length == 0:
            break
    return bytes(body)
