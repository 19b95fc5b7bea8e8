"""Asking over HTTP: what is waited for, what is tried again, and what is final."""

from collections.abc import Callable
from typing import Any

import httpx
import pytest

from cluster.errors import ApiError, UnreachableError
from deployments.evaluation.runs import callers
from deployments.evaluation.runs.callers import BACKGROUND_HEADERS, HttpModels, ModelRoutes

Answer = Callable[[httpx.Request], httpx.Response]
BODY = {"model": "m", "messages": []}


@pytest.fixture(autouse=True)
def short_pauses(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(callers, "_FIRST_PAUSE_S", 0.001)
    monkeypatch.setattr(callers, "_LONGEST_PAUSE_S", 0.002)


def models(*answers: Answer | httpx.Response, patience_s: float = 5.0, **more: Any) -> HttpModels:
    """An API that gives `answers` in turn, the last one for ever."""
    left = list(answers)

    def answer(request: httpx.Request) -> httpx.Response:
        one = left.pop(0) if len(left) > 1 else left[0]
        return one if isinstance(one, httpx.Response) else one(request)

    return HttpModels(
        "http://api/v1",
        concurrency=2,
        patience_s=patience_s,
        request_timeout_s=5,
        transport=httpx.MockTransport(answer),
        **more,
    )


def refusal(status: int, message: str = "no", **headers: str) -> httpx.Response:
    return httpx.Response(status, json={"error": {"message": message}}, headers=headers)


def away(request: httpx.Request) -> httpx.Response:
    raise httpx.ConnectError("refused", request=request)


def fine(**headers: str) -> httpx.Response:
    return httpx.Response(200, json={"ok": True}, headers=headers)


@pytest.mark.parametrize(
    "first", [refusal(429, **{"retry-after": "2"}), refusal(503), refusal(500), away]
)
async def test_busy_and_broken_is_asked_again(first: Any) -> None:
    async with models(first, first, fine(**{"x-trace-id": "trace_1"})) as api:
        reply = await api.post("/chat/completions", BODY)
    assert (reply.body, reply.trace_id) == ({"ok": True}, "trace_1")
    assert reply.seconds > 0


async def test_a_refusal_is_final_and_says_what_was_said() -> None:
    async with models(refusal(400, "messages is empty"), fine()) as api:
        with pytest.raises(ApiError, match="messages is empty") as caught:
            await api.chat(BODY)
    assert caught.value.status == 400


async def test_what_stays_broken_is_given_up() -> None:
    async with models(refusal(500), refusal(500), refusal(500), fine()) as api:
        with pytest.raises(ApiError) as caught:
            await api.chat(BODY)
    assert caught.value.status == 500


@pytest.mark.parametrize(("answer", "error"), [(refusal(429), ApiError), (away, UnreachableError)])
async def test_patience_ends(answer: Any, error: type[Exception]) -> None:
    async with models(answer, patience_s=0.01) as api:
        with pytest.raises(error):
            await api.chat(BODY)


@pytest.mark.parametrize("body", [b"<html>", b"[1]"])
async def test_an_answer_that_is_no_json_object_is_an_error(body: bytes) -> None:
    async with models(httpx.Response(200, content=body)) as api:
        with pytest.raises(ApiError, match="no JSON"):
            await api.chat(BODY)


async def test_a_model_outside_is_asked_by_its_own_name_with_its_own_key() -> None:
    seen: list[httpx.Request] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request)
        return fine()

    outside = models(answer, key="secret")
    routes = ModelRoutes(models(answer, headers=BACKGROUND_HEADERS), {"far": (outside, "far-9b")})
    await routes.chat({**BODY, "model": "far"})
    await routes.chat(BODY)
    far, near = seen
    assert b'"far-9b"' in far.content
    assert far.headers["authorization"] == "Bearer secret"
    assert "x-everloop-priority" not in far.headers
    assert near.headers["x-everloop-priority"] == "background"
    assert "authorization" not in near.headers
    await routes.close()


async def test_a_key_may_be_made_for_each_request() -> None:
    seen: list[str] = []

    def answer(request: httpx.Request) -> httpx.Response:
        seen.append(request.headers["authorization"])
        return fine()

    numbers = iter(range(2))
    api = models(answer, key=lambda: f"key-{next(numbers)}")
    await api.chat(BODY)
    await api.chat(BODY)
    await api.close()
    assert seen == ["Bearer key-0", "Bearer key-1"]
