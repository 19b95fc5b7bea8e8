"""Every error has OpenAI's body, its status and a request id."""

import asyncio
import json
import logging
from collections.abc import AsyncIterator, Iterator

import httpx2
import pytest
from fastapi import FastAPI
from fastapi.responses import StreamingResponse

from deployments.errors import (
    InvalidRequest,
    NotFound,
    Overloaded,
    PayloadTooLarge,
    RequestError,
    Unavailable,
    Unprocessable,
    UnsupportedMedia,
)
from deployments.gateway.app import create_app
from deployments.gateway.services import Services
from tests.fakes.parts import FakeIngestor
from tests.fuzz.attempts import AsgiSender, Attempt

# What the database does is tested elsewhere.
pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)


def _error(answer: httpx2.Response, status: int) -> dict[str, str | None]:
    assert answer.status_code == status
    assert answer.headers["x-request-id"]
    body = answer.json()
    assert set(body) == {"error"}
    assert set(body["error"]) == {"message", "type", "param", "code"}
    assert body["error"]["message"]
    return dict(body["error"])


@pytest.mark.parametrize(
    "failure",
    [
        InvalidRequest("Wrong.", param="a.b", code="invalid_value"),
        NotFound("None such.", param="id"),
        PayloadTooLarge("Too large."),
        UnsupportedMedia("Not JSON."),
        Unprocessable("Cannot."),
        Overloaded("Busy.", retry_after_s=3),
        Unavailable("Down.", retry_after_s=4),
    ],
)
async def test_a_request_error_keeps_its_fields(
    app: FastAPI, http: httpx2.AsyncClient, failure: RequestError
) -> None:
    @app.get("/broken")
    async def broken() -> None:
        raise failure

    answer = await http.get("/broken")
    assert _error(answer, failure.status) == failure.body()["error"]
    expected = None if failure.retry_after_s is None else str(failure.retry_after_s)
    assert answer.headers.get("retry-after") == expected


async def test_an_unknown_url_is_404(http: httpx2.AsyncClient) -> None:
    error = _error(await http.get("/v1/nothing"), 404)
    assert error["type"] == "invalid_request_error"
    assert "/v1/nothing" in str(error["message"])


async def test_a_method_that_is_not_allowed_is_405(http: httpx2.AsyncClient) -> None:
    answer = await http.put("/v1/models", json={})
    assert "PUT" in str(_error(answer, 405)["message"])
    assert answer.headers["allow"] == "GET"


async def test_json_that_does_not_parse_is_400(http: httpx2.AsyncClient) -> None:
    answer = await http.post(
        "/v1/rerank", content=b'{"query": ', headers={"content-type": "application/json"}
    )
    assert _error(answer, 400)["code"] == "invalid_json"


@pytest.mark.parametrize(
    ("body", "param", "said"),
    [
        (b"[]", None, "dictionary"),
        (b'{"query": "x"}', "documents", "required"),
        (b'{"query": "x", "documents": []}', "documents", "at least 1"),
        (b'{"query": "x", "documents": ["a", 7]}', "documents.1", "string"),
        (b'{"query": "x", "documents": ["a"], "top_n": 0}', "top_n", "greater than or equal to 1"),
        (b'{"query": "x", "documents": ["a"], "top": 1}', "top", "Unknown"),
        (b'{"query": "\\ud800", "documents": ["a"]}', "query", "surrogate"),
    ],
)
async def test_a_wrong_field_is_400_with_its_name_and_what_is_allowed(
    http: httpx2.AsyncClient, body: bytes, param: str | None, said: str
) -> None:
    answer = await http.post(
        "/v1/rerank", content=body, headers={"content-type": "application/json"}
    )
    error = _error(answer, 400)
    assert error["param"] == param
    assert said in str(error["message"])


async def test_a_wrong_query_parameter_is_named(http: httpx2.AsyncClient) -> None:
    error = _error(await http.get("/v1/vector_stores?limit=101"), 400)
    assert error["param"] == "limit"
    assert "100" in str(error["message"])


async def test_a_nul_in_a_path_is_not_a_server_error(http: httpx2.AsyncClient) -> None:
    answer = await http.get("/v1/vector_stores/vs_%00")
    assert answer.status_code in {400, 404}


async def test_a_body_that_says_it_is_too_large_is_413(http: httpx2.AsyncClient) -> None:
    answer = await http.post("/v1/rerank", json={"query": "x" * 5000, "documents": ["a"]})
    assert "4096" in str(_error(answer, 413)["message"])


async def test_a_stream_is_counted_and_cut_off_at_the_limit(http: httpx2.AsyncClient) -> None:
    sent = 0

    async def endless() -> AsyncIterator[bytes]:
        nonlocal sent
        for _ in range(1000):
            sent += 1
            yield b"x" * 1000

    answer = await http.post(
        "/v1/rerank", content=endless(), headers={"content-type": "application/json"}
    )
    _error(answer, 413)
    assert sent < 10


@pytest.mark.parametrize("path", ["/v1/rerank", "/v1/files"])
async def test_another_content_type_is_415(http: httpx2.AsyncClient, path: str) -> None:
    answer = await http.post(path, content=b"<xml/>", headers={"content-type": "text/xml"})
    assert "text/xml" in str(_error(answer, 415)["message"])


async def test_what_goes_wrong_inside_is_logged_and_not_told(
    app: FastAPI, http: httpx2.AsyncClient, caplog: pytest.LogCaptureFixture
) -> None:
    @app.get("/broken")
    async def broken() -> None:
        raise RuntimeError("the secret of the house")

    with caplog.at_level(logging.ERROR):
        answer = await http.get("/broken", headers={"x-request-id": "mine-7"})
    error = _error(answer, 500)
    assert error["type"] == "server_error"
    assert "secret" not in answer.text
    assert "mine-7" in str(error["message"])
    assert "mine-7" in caplog.text
    assert "the secret of the house" in caplog.text


async def test_a_database_that_is_down_is_503(
    parts: Services, http: httpx2.AsyncClient, monkeypatch: pytest.MonkeyPatch
) -> None:
    from cluster.database import Database

    down = Database("postgresql://someone:secret@127.0.0.1:1/everloop")
    monkeypatch.setattr(parts.database, "run", down.run)
    answer = await http.get("/v1/files")
    _error(answer, 503)
    assert answer.headers["retry-after"] == "2"
    assert "127.0.0.1" not in answer.text


async def test_a_sane_request_id_is_kept_and_another_replaced(http: httpx2.AsyncClient) -> None:
    kept = await http.get("/healthz", headers={"x-request-id": "client-1.a"})
    assert kept.headers["x-request-id"] == "client-1.a"
    replaced = await http.get("/healthz", headers={"x-request-id": "x y" * 200})
    assert replaced.headers["x-request-id"].startswith("req_")
    assert replaced.headers["x-trace-id"].startswith("trace_")


async def test_behind_serve_the_proxy_alone_names_the_request(parts: Services) -> None:
    transport = httpx2.ASGITransport(app=create_app(parts, behind_serve=True))
    async with httpx2.AsyncClient(transport=transport, base_url="http://everloop") as http:
        answer = await http.get("/healthz")
    assert "x-request-id" not in answer.headers
    assert "x-trace-id" in answer.headers


async def test_a_deadline_that_passes_is_504(app: FastAPI, http: httpx2.AsyncClient) -> None:
    cancelled = asyncio.Event()

    @app.get("/slow")
    async def slow() -> None:
        try:
            await asyncio.Event().wait()
        except asyncio.CancelledError:
            cancelled.set()
            raise

    error = _error(await http.get("/slow", headers={"x-request-timeout": "0.05"}), 504)
    assert error["code"] == "deadline_exceeded"
    assert cancelled.is_set()


async def test_a_deadline_that_passes_in_a_stream_ends_it_with_an_error_event(
    app: FastAPI, http: httpx2.AsyncClient
) -> None:
    @app.get("/slow")
    async def slow() -> StreamingResponse:
        async def events() -> AsyncIterator[str]:
            yield "data: {}\n\n"
            await asyncio.Event().wait()

        return StreamingResponse(events(), media_type="text/event-stream")

    answer = await http.get("/slow", headers={"x-request-timeout": "0.05"})
    assert answer.status_code == 200
    first, last, done = answer.text.strip().split("\n\n")
    assert (first, done) == ("data: {}", "data: [DONE]")
    assert json.loads(last.removeprefix("data: "))["error"]["code"] == "deadline_exceeded"


@pytest.mark.parametrize("value", ["soon", "-1", "0", "nan"])
async def test_a_deadline_that_is_no_time_is_400(http: httpx2.AsyncClient, value: str) -> None:
    answer = await http.get("/healthz", headers={"x-request-timeout": value})
    assert _error(answer, 400)["param"] == "x-request-timeout"


@pytest.fixture
def ingestor_logs(caplog: pytest.LogCaptureFixture) -> Iterator[pytest.LogCaptureFixture]:
    with caplog.at_level(logging.WARNING):
        yield caplog


async def test_an_ingestor_that_is_down_is_logged(
    http: httpx2.AsyncClient, ingestor: FakeIngestor, ingestor_logs: pytest.LogCaptureFixture
) -> None:
    ingestor.failure = Unavailable("The Ingestor is restarting.")
    uploaded = await http.post(
        "/v1/files", files={"file": ("a.txt", b"x")}, data={"purpose": "user_data"}
    )
    await http.post("/v1/vector_stores", json={"file_ids": [uploaded.json()["id"]]})
    assert "The Ingestor is restarting." in ingestor_logs.text


@pytest.mark.parametrize("path", ["/v1/chat/completions", "/v1/completions", "/v1/rerank"])
async def test_a_body_nested_too_deep_is_refused_by_every_route(
    http: httpx2.AsyncClient, path: str
) -> None:
    deep = b'{"model": "m", "messages": ' + b"[" * 900 + b"]" * 900 + b"}"
    answer = await http.post(path, content=deep, headers={"content-type": "application/json"})
    assert _error(answer, 400)["code"] == "body_too_deep"


async def test_a_client_that_goes_in_the_middle_of_its_body_is_no_failure(app: FastAPI) -> None:
    sender = AsgiSender(app, 10.0)
    cut = Attempt("x", "POST", b"/v1/chat/completions", chunks=(b'{"model"',), cut=True)
    cut = cut.with_header(b"content-type", b"application/json")
    answer = await sender.send(cut.with_header(b"transfer-encoding", b"chunked"))
    assert (answer.status, answer.crash) == (0, "")


async def test_a_form_field_without_a_file_name_is_refused_without_a_class_name(
    http: httpx2.AsyncClient,
) -> None:
    answer = await http.post("/v1/files", files={"file": (None, "x"), "purpose": (None, "evals")})
    error = _error(answer, 400)
    assert error["param"] == "file"
    assert "UploadFile" not in str(error["message"])


@pytest.mark.parametrize(
    ("path", "body"),
    [
        ("/v1/chat/completions", '{"model": "\\ud800", "messages": []}'),
        ("/v1/chat/completions", '{"model": "m", "user": "\\ud800", "messages": []}'),
        ("/v1/completions", '{"model": "m", "prompt": "\\udfff\\ud800"}'),
        ("/v1/responses", '{"model": "\\ud800", "input": "Hi"}'),
        ("/v1/vector_stores", '{"name": "\\ud800"}'),
        ("/v1/embeddings", '{"model": "\\ud800", "input": "a"}'),
        ("/v1/rerank", '{"model": "\\ud800", "query": "a", "documents": ["a"]}'),
        ("/v1/prompts/polite/render", '{"variables": {"a": ["\\ud800"]}}'),
    ],
)
async def test_half_of_a_surrogate_pair_is_refused_by_every_route(
    http: httpx2.AsyncClient, path: str, body: str
) -> None:
    answer = await http.post(
        path, content=body.encode(), headers={"content-type": "application/json"}
    )
    assert "surrogate" in str(_error(answer, 400)["message"])


async def test_a_whole_surrogate_pair_is_text(http: httpx2.AsyncClient) -> None:
    body = b'{"model": "none", "messages": [{"role": "user", "content": "\\ud83d\\ude00"}]}'
    answer = await http.post(
        "/v1/chat/completions", content=body, headers={"content-type": "application/json"}
    )
    assert answer.status_code == 404


@pytest.mark.parametrize("cursor", ["9" * 30, "²", "-1", "a@b", "9" * 5000])
async def test_a_cursor_that_is_no_number_of_a_move_is_refused(
    http: httpx2.AsyncClient, cursor: str
) -> None:
    made = await http.post(
        "/v1/aliases", json={"name": "helper", "target": "smollm2-135m-instruct"}
    )
    assert made.status_code == 200
    answer = await http.get("/v1/aliases/helper/history", params={"after": cursor})
    assert _error(answer, 400)["param"] == "after"


async def test_an_expiry_of_thousands_of_digits_is_refused(http: httpx2.AsyncClient) -> None:
    form = {"purpose": "user_data", "expires_after[seconds]": "9" * 5000}
    answer = await http.post("/v1/files", data=form, files={"file": ("a.txt", b"x")})
    assert _error(answer, 400)["param"] == "expires_after.seconds"


async def test_half_of_a_surrogate_pair_deep_in_a_free_object_is_refused(
    http: httpx2.AsyncClient,
) -> None:
    body = (
        b'{"query": "a", "documents": [{"text": "b", "c": ["\\ud800"]}], "return_documents": true}'
    )
    answer = await http.post(
        "/v1/rerank", content=body, headers={"content-type": "application/json"}
    )
    assert "surrogate" in str(_error(answer, 400)["message"])


@pytest.mark.parametrize(
    ("name", "said"),
    [
        ("", "name is ''. String should have at least 1 character."),
        ("x" * 129, "String should have at most 128 characters."),
    ],
)
async def test_a_length_is_counted_in_characters(
    http: httpx2.AsyncClient, name: str, said: str
) -> None:
    body = {"name": name, "scopes": ["inference"]}
    assert str(_error(await http.post("/v1/keys", json=body), 400)["message"]).endswith(said)
