"""What Serve's proxy answers by itself reaches clients in the API's words, and shows nothing."""

import json
from collections.abc import Iterator

import httpx
import pytest
from openai import InternalServerError, OpenAI
from starlette.responses import PlainTextResponse, Response
from starlette.types import ASGIApp, Message, Receive, Scope, Send

from deployments.proxy_errors import ProxyErrors
from tests.fixtures.ray_cluster import SharedRay
from tests.fixtures.system import free_port


async def asked(inner: ASGIApp, path: str = "/v1/models") -> httpx.Response:
    transport = httpx.ASGITransport(app=ProxyErrors(inner))
    async with httpx.AsyncClient(transport=transport, base_url="http://front") as client:
        return await client.get(path)


@pytest.mark.parametrize(
    ("status", "told", "code"),
    [(404, 503, "starting"), (503, 503, "gateway_unavailable"), (500, 500, "internal_error")],
)
async def test_the_proxys_own_errors_are_replaced(status: int, told: int, code: str) -> None:
    inner = PlainTextResponse("Traceback: /srv/app.py", status, headers={"x-request-id": "req_7"})
    answer = await asked(inner)
    assert answer.status_code == told
    assert answer.json()["error"]["code"] == code
    assert "Traceback" not in answer.text
    assert answer.headers["content-type"] == "application/json"
    assert answer.headers["x-request-id"] == "req_7"
    assert ("retry-after" in answer.headers) is (told == 503)


async def test_serves_own_word_on_when_to_come_back_stays() -> None:
    answer = await asked(PlainTextResponse("full", 503, headers={"retry-after": "7"}))
    assert answer.headers["retry-after"] == "7"


@pytest.mark.parametrize("status", [200, 404, 503])
async def test_the_gateways_responses_pass_untouched(status: int) -> None:
    answer = await asked(Response(b"as it is", status, headers={"x-trace-id": "tr_1"}))
    assert (answer.status_code, answer.content) == (status, b"as it is")


async def test_serves_own_routes_and_answers_pass_untouched() -> None:
    assert (await asked(PlainTextResponse("not yet", 503), "/-/healthz")).text == "not yet"
    assert (await asked(PlainTextResponse("fine", 200))).text == "fine"


async def test_a_gateway_that_ended_is_told() -> None:
    async def nothing(_scope: Scope, _receive: Receive, _send: Send) -> None:
        return

    answer = await asked(nothing)
    assert (answer.status_code, answer.json()["error"]["code"]) == (503, "gateway_lost")
    assert answer.headers["retry-after"] == "2"


async def test_a_proxy_that_fails_is_told() -> None:
    async def fails(_scope: Scope, _receive: Receive, _send: Send) -> None:
        raise UnicodeDecodeError("utf-8", b"\xff", 0, 1, "invalid start byte")

    answer = await asked(fails)
    assert (answer.status_code, answer.json()["error"]["code"]) == (500, "internal_error")


@pytest.mark.parametrize("kind", ["text/event-stream; charset=utf-8", "application/json"])
async def test_a_stream_that_is_cut_off_ends_with_an_error_event(kind: str) -> None:
    async def cut(_scope: Scope, _receive: Receive, send: Send) -> None:
        headers = [(b"content-type", kind.encode()), (b"x-trace-id", b"tr_1")]
        await send({"type": "http.response.start", "status": 200, "headers": headers})
        await send({"type": "http.response.body", "body": b"data: {", "more_body": True})

    sent: list[Message] = []

    async def send(message: Message) -> None:
        sent.append(message)

    async def nothing() -> Message:
        return {}

    await ProxyErrors(cut)({"type": "http", "path": "/v1/responses"}, nothing, send)
    told = b"".join(message.get("body", b"") for message in sent).decode()
    if kind == "application/json":  # the connection's end tells it
        assert (told, sent[-1]["more_body"]) == ("data: {", True)
        return
    assert not sent[-1].get("more_body")
    _, name, data = told.strip().rsplit("\n", 2)
    assert name == "event: error"
    assert json.loads(data.removeprefix("data: "))["error"]["code"] == "gateway_lost"


async def test_who_asks_for_serves_routes_is_sent_to_the_gateway() -> None:
    async def gateway(scope: Scope, receive: Receive, send: Send) -> None:
        own = scope["path"] == "/-/routes" or scope["raw_path"] == b"/-/routes"
        await PlainTextResponse("told" if own else "passed on")(scope, receive, send)

    assert (await asked(gateway, "/-/routes")).text == "passed on"


async def test_other_protocols_pass_untouched() -> None:
    seen: list[str] = []

    async def inner(scope: Scope, _receive: Receive, _send: Send) -> None:
        seen.append(scope["type"])

    async def nothing(*_: object) -> dict[str, object]:
        return {}

    await ProxyErrors(inner)({"type": "lifespan"}, nothing, nothing)  # type: ignore[arg-type]
    assert seen == ["lifespan"]


@pytest.fixture
def bare_proxy(shared_ray: SharedRay) -> Iterator[str]:
    """Serve's proxy, on a head that `up` would start, before any application is there."""
    from ray import serve

    port = free_port()
    with shared_ray.joined("proxy-errors"):
        serve.start(proxy_location="HeadOnly", http_options={"host": "127.0.0.1", "port": port})
        yield f"http://127.0.0.1:{port}/v1"
        serve.shutdown()


@pytest.mark.integration
def test_a_proxy_without_an_application_says_when_to_come_back(bare_proxy: str) -> None:
    client = OpenAI(base_url=bare_proxy, api_key="any", max_retries=0, timeout=30)
    with pytest.raises(InternalServerError) as refused:
        client.models.list()
    assert (refused.value.status_code, refused.value.code) == (503, "starting")
    assert refused.value.response.headers["retry-after"] == "2"
