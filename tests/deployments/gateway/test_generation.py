"""Answers of a model, from the request to the socket."""

import asyncio
import dataclasses
import json
from collections.abc import AsyncIterator
from dataclasses import dataclass, field
from typing import Any

import httpx2
import pytest

from cluster.records import Trace
from deployments.errors import Overloaded, RequestError, Unavailable
from deployments.gateway.app import create_app
from deployments.gateway.measures import LocalMeasures, measures
from deployments.gateway.services import Services
from deployments.model.messages import ModelCall, Part, Resumed, Usage

MODEL = "smollm2-135m-instruct"
EVENT = b'data: {"choices":[{"index":0,"delta":{"content":"%s"}}]}\n\n'


@dataclass
class Talker:
    """Says `words`, then fails, falls silent or ends."""

    words: list[bytes] = field(default_factory=lambda: [b"Hel", b"lo"])
    failure: Exception | None = None
    silent: bool = False
    stopped: asyncio.Event = field(default_factory=asyncio.Event)
    calls: list[ModelCall] = field(default_factory=list)

    async def generate(self, call: ModelCall) -> AsyncIterator[Part]:
        self.calls.append(call)
        try:
            for word in self.words:
                yield Part(EVENT % word)
            if self.failure is not None:
                raise self.failure
            if self.silent:
                await asyncio.Event().wait()
            yield Part(b"data: [DONE]\n\n", Usage(5, 2))
        finally:
            self.stopped.set()


class Client:
    """An ASGI client that can go away."""

    def __init__(self, services: Services, talker: Any) -> None:
        self.app = create_app(dataclasses.replace(services, models={MODEL: talker}))
        self.status = 0
        self.headers: dict[str, str] = {}
        self.chunks: list[bytes] = []
        self.first_chunk = asyncio.Event()
        self.gone = asyncio.Event()

    async def post(self, path: str, timeout_s: float = 60, **body: Any) -> None:
        payload = [json.dumps({"model": MODEL, **body}).encode()]

        async def receive() -> dict[str, Any]:
            if payload:
                return {"type": "http.request", "body": payload.pop(), "more_body": False}
            await self.gone.wait()
            return {"type": "http.disconnect"}

        async def send(message: Any) -> None:
            if message["type"] == "http.response.start":
                self.status = message["status"]
                self.headers = {k.decode(): v.decode() for k, v in message["headers"]}
            elif message["body"]:
                self.chunks.append(message["body"])
                self.first_chunk.set()

        scope = {
            "type": "http",
            "method": "POST",
            "path": path,
            "raw_path": path.encode(),
            "root_path": "",
            "scheme": "http",
            "query_string": b"",
            "http_version": "1.1",
            "headers": [
                (b"content-type", b"application/json"),
                (b"x-request-timeout", str(timeout_s).encode()),
            ],
            "client": ("127.0.0.1", 1),
            "server": ("everloop", 80),
        }
        await self.app(scope, receive, send)

    async def chat(self, **body: Any) -> None:
        await self.post(
            "/v1/chat/completions", messages=[{"role": "user", "content": "Hi"}], **body
        )


async def test_events_reach_the_socket_byte_for_byte(parts: Services) -> None:
    client = Client(parts, Talker())
    await client.chat(stream=True)
    assert client.headers["content-type"].startswith("text/event-stream")
    assert client.chunks == [EVENT % b"Hel", EVENT % b"lo", b"data: [DONE]\n\n"]


@pytest.mark.parametrize(
    ("failure", "status"), [(Overloaded("full", retry_after_s=3), 429), (Unavailable("down"), 503)]
)
async def test_an_error_before_the_first_token_has_its_status(
    parts: Services, failure: RequestError, status: int
) -> None:
    client = Client(parts, Talker(words=[], failure=failure))
    await client.chat(stream=True)
    assert client.status == status
    assert "retry-after" in client.headers


async def test_an_error_in_the_stream_is_an_event_and_never_a_silent_end(parts: Services) -> None:
    client = Client(parts, Talker(failure=Unavailable("The replica died.")))
    await client.chat(stream=True)
    error, done = client.chunks[-1].rstrip(b"\n").split(b"\n\n")
    assert json.loads(error.removeprefix(b"data: "))["error"]["message"] == "The replica died."
    assert done == b"data: [DONE]"


async def test_whatever_fails_in_the_stream_is_told_without_its_reason(parts: Services) -> None:
    client = Client(parts, Talker(failure=OSError("/srv/secret is full")))
    await client.chat(stream=True)
    error, done = client.chunks[-1].rstrip(b"\n").split(b"\n\n")
    told = json.loads(error.removeprefix(b"data: "))["error"]
    assert (told["code"], done) == ("internal_error", b"data: [DONE]")
    assert "secret" not in str(told)
    assert (await _trace(parts, client)).status == 500


@pytest.mark.parametrize("streamed", [True, False])
async def test_a_client_that_goes_before_the_first_token_stops_the_generation(
    parts: Services, streamed: bool
) -> None:
    talker = Talker(words=[], silent=True)
    client = Client(parts, talker)
    request = asyncio.create_task(client.chat(stream=streamed))
    while not talker.calls:  # noqa: ASYNC110 - the request has begun, nothing was sent
        await asyncio.sleep(0)
    client.gone.set()
    await asyncio.wait_for(request, 5)
    assert talker.stopped.is_set()


async def test_a_client_that_goes_in_the_stream_stops_the_generation(parts: Services) -> None:
    talker = Talker(silent=True)
    client = Client(parts, talker)
    request = asyncio.create_task(client.chat(stream=True))
    await client.first_chunk.wait()
    client.gone.set()
    await asyncio.wait_for(request, 5)
    assert talker.stopped.is_set()
    assert (await _trace(parts, client)).status == 499


async def test_a_request_that_serve_cancels_in_the_stream_is_told_as_left(parts: Services) -> None:
    """Serve cancels the request when it sees the client go, often before the route sees it."""
    talker = Talker(silent=True)
    client = Client(parts, talker)
    request = asyncio.create_task(client.chat(stream=True))
    await client.first_chunk.wait()
    request.cancel()
    with pytest.raises(asyncio.CancelledError):
        await asyncio.wait_for(request, 5)
    assert talker.stopped.is_set()
    trace = await _trace(parts, client)
    assert (trace.status, trace.body["error"]["code"]) == (499, "client_closed")


async def test_a_deadline_in_the_stream_is_told_in_the_trace(parts: Services) -> None:
    await Client(parts, Talker()).chat(stream=True)  # what is loaded by the first is not timed
    client = Client(parts, Talker(silent=True))
    await client.chat(stream=True, timeout_s=2)
    assert client.status == 200
    assert b"deadline_exceeded" in client.chunks[-1]
    assert (await _trace(parts, client)).status == 504


async def _trace(parts: Services, client: Client) -> Trace:
    await parts.traces.flush()
    return await parts.database.run(
        lambda session: session.get_one(Trace, client.headers["x-trace-id"])
    )


async def test_the_trace_tells_answer_tokens_and_time_to_first_token(parts: Services) -> None:
    client = Client(parts, Talker())
    await client.chat(stream=True)
    trace = await _trace(parts, client)
    assert (trace.question, trace.answer) == ("Hi", "Hello")
    assert trace.body["tokens"] == {"prompt": 5, "completion": 2}
    assert trace.body["timings_ms"]["first_token"] > 0


@pytest.mark.parametrize(
    ("body", "param"),
    [
        ({"stream": "yes"}, "stream"),
        ({"model": None}, "model"),
    ],
)
async def test_a_wrong_field_is_named(parts: Services, body: dict[str, Any], param: str) -> None:
    client = Client(parts, Talker())
    await client.chat(**body)
    assert client.status == 400
    assert json.loads(client.chunks[0])["error"]["param"] == param


@pytest.mark.parametrize(
    "messages", [None, [], "hi", [{"content": "no role"}], [{"role": "alien", "content": "Hi"}]]
)
async def test_messages_must_be_messages(parts: Services, messages: Any) -> None:
    client = Client(parts, Talker())
    await client.post("/v1/chat/completions", messages=messages)
    assert client.status == 400
    assert json.loads(client.chunks[0])["error"]["param"].startswith("messages")


async def test_an_unknown_model_is_404(parts: Services) -> None:
    client = Client(parts, Talker())
    await client.chat(model="nope")
    assert client.status == 404
    assert json.loads(client.chunks[0])["error"]["code"] == "model_not_found"


async def test_a_completion_passes_its_prompt_on(parts: Services) -> None:
    talker = Talker()
    client = Client(parts, talker)
    await client.post("/v1/completions", prompt="Once", stream=True)
    assert talker.calls[0].kind == "completion"
    assert talker.calls[0].body["prompt"] == "Once"


async def test_the_trace_and_the_metrics_tell_that_an_answer_went_on_elsewhere(
    parts: Services,
) -> None:
    class Moved(Talker):
        async def generate(self, call: ModelCall) -> AsyncIterator[Part]:
            yield Part(EVENT % b"Hel")
            yield Part(EVENT % b"lo", resumed=Resumed(1, "its replica died"))
            yield Part(b"data: [DONE]\n\n", Usage(5, 2))

    client = Client(parts, Moved())
    before = resumed_so_far()
    await client.chat(stream=True)
    assert (await _trace(parts, client)).body["resumed"] == [
        {"position": 1, "reason": "its replica died"}
    ]
    assert resumed_so_far() == before + 1


def resumed_so_far() -> float:
    counted = measures()
    assert isinstance(counted, LocalMeasures)
    (line,) = (
        line
        for line in counted.text().splitlines()
        if line.startswith("everloop_gateway_answers_resumed_total ")
    )
    return float(line.split()[1])


@pytest.mark.parametrize(
    ("path", "more", "param"),
    [
        ("/v1/chat/completions", {"n": 129}, "n"),
        ("/v1/chat/completions", {"n": "129"}, "n"),
        ("/v1/chat/completions", {"max_tokens": "1000"}, "max_tokens"),
        ("/v1/completions", {"max_tokens": True}, "max_tokens"),
        ("/v1/completions", {"n": 10**100}, "n"),
        ("/v1/completions", {"prompt": ["a"] * 2049}, "prompt"),
        ("/v1/completions", {"prompt": [[1]] * 2049}, "prompt"),
    ],
)
async def test_one_request_asks_for_no_more_answers_than_the_queue_counts(
    parts: Services, path: str, more: dict[str, object], param: str
) -> None:
    settings = parts.settings
    wide = settings.model_copy(
        update={"http": settings.http.model_copy(update={"max_body_bytes": 100_000})}
    )
    app = create_app(dataclasses.replace(parts, settings=wide))
    body = {"model": MODEL, "prompt": "a", "messages": [{"role": "user", "content": "a"}], **more}
    if path == "/v1/chat/completions":
        del body["prompt"]
    transport = httpx2.ASGITransport(app=app, raise_app_exceptions=False)
    async with httpx2.AsyncClient(transport=transport, base_url="http://everloop") as http:
        answer = await http.post(path, json=body)
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, param)
