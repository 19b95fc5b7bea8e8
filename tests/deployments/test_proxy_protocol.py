"""The proxy's HTTP bounds what comes before a body. A real server on loopback, raw sockets."""

import asyncio
import json
from collections.abc import AsyncIterator, Iterator
from contextlib import contextmanager
from typing import Any

import pytest
import uvicorn
from starlette.requests import Request
from starlette.responses import PlainTextResponse
from starlette.types import Receive, Scope, Send
from uvicorn.config import HTTP_PROTOCOLS

from deployments import proxy_errors, proxy_protocol
from tests.fixtures.system import free_port

LARGE = 1024 * 1024
LEAST = b"GET / HTTP/1.1\r\nhost: x\r\n"


async def counted(scope: Scope, receive: Receive, send: Send) -> None:
    """Answer with the size of the body."""
    body = await Request(scope, receive).body()
    await PlainTextResponse(str(len(body)))(scope, receive, send)


class Server(uvicorn.Server):
    """One that leaves the signals of this process to pytest."""

    @contextmanager
    def capture_signals(self) -> Iterator[None]:
        """See uvicorn.Server."""
        yield


@pytest.fixture
async def port(monkeypatch: pytest.MonkeyPatch) -> AsyncIterator[int]:
    """A server that was set up as the proxy is."""
    monkeypatch.setitem(HTTP_PROTOCOLS, "auto", "")  # put back afterwards
    proxy_errors.middlewares()
    chosen = free_port()
    config = uvicorn.Config(counted, host="127.0.0.1", port=chosen, lifespan="off", log_config=None)
    server = Server(config)
    running = asyncio.create_task(server.serve())
    async with asyncio.timeout(10):
        while not server.started:  # noqa: ASYNC110 - uvicorn tells it in no other way
            await asyncio.sleep(0.01)
    yield chosen
    server.should_exit = True
    await running


async def talk(port: int, *sent: bytes) -> bytes:
    """All that comes back until the server hangs up."""
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    try:
        for data in sent:
            writer.write(data)
            await writer.drain()
        return await asyncio.wait_for(reader.read(), 10)
    except ConnectionError:
        return b"reset"
    finally:
        writer.close()


def refusal(answer: bytes) -> tuple[int, Any]:
    head, _, body = answer.partition(b"\r\n\r\n")
    return int(head.split()[1]), json.loads(body)["error"]["code"]


async def test_requests_follow_each_other_on_a_connection(port: int) -> None:
    head = b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: %d\r\n" % LARGE
    body = b"b" * LARGE
    last = LEAST + b"connection: close\r\n\r\n"
    answer = await talk(port, head, b"\r\n", body, head + b"\r\n" + body + last)
    assert answer.count(b"HTTP/1.1 200 OK") == 3
    assert answer.count(b"\r\n\r\n%d" % LARGE) == 2


async def test_a_head_of_an_ordinary_size_is_read(port: int) -> None:
    headers = b"".join(b"x-%d: %b\r\n" % (n, b"v" * 1000) for n in range(50))
    answer = await talk(port, LEAST, headers, b"connection: close\r\n\r\n")
    assert answer.startswith(b"HTTP/1.1 200 OK")


async def test_one_that_is_read_at_once_is_refused_too(port: int) -> None:
    headers = b"".join(b"x-%d: %b\r\n" % (n, b"v" * 1000) for n in range(70))
    body = b"content-length: 2\r\n\r\n{}"
    assert refusal(await talk(port, LEAST + headers + body)) == (431, "headers_too_large")


async def test_who_sends_on_gets_the_answer(port: int) -> None:
    headers = b"".join(b"x-%d: %b\r\n" % (n, b"v" * 1000) for n in range(2000))
    answer = await talk(port, LEAST, headers, b"\r\n", b"b" * LARGE)
    assert refusal(answer) == (431, "headers_too_large")


@pytest.mark.parametrize(
    "endless",
    [b"x-a: " + b"a" * 8000 + b"\r\n", b"a" * 8000],
    ids=["headers", "one header"],
)
async def test_a_head_without_end_is_refused(port: int, endless: bytes) -> None:
    lines = proxy_protocol._HEAD_BYTES // len(endless) + 1  # the last one is over the bound
    answer = await talk(port, LEAST, b"x: ", *[endless] * lines)
    assert refusal(answer) == (431, "headers_too_large")


async def test_what_is_no_http_is_refused_as_the_api_does(port: int) -> None:
    assert refusal(await talk(port, b"FOO / HTTP/1.1\r\nhost: x\r\n\r\n")) == (400, "invalid_http")


async def test_a_head_that_does_not_come_is_not_waited_for(
    port: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(proxy_protocol, "_HEAD_S", 0.3)
    assert refusal(await talk(port, LEAST)) == (408, "headers_too_slow")
    assert await talk(port) == b""


async def test_a_body_may_take_longer(port: int, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(proxy_protocol, "_HEAD_S", 0.2)
    reader, writer = await asyncio.open_connection("127.0.0.1", port)
    writer.write(b"POST / HTTP/1.1\r\nhost: x\r\ncontent-length: 2\r\nconnection: close\r\n\r\na")
    await asyncio.sleep(0.6)
    writer.write(b"b")
    answer = await asyncio.wait_for(reader.read(), 10)
    writer.close()
    assert answer.endswith(b"\r\n\r\n2")
