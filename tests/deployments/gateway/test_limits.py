"""Bounds over the whole application: what is refused, what headers tell, what is counted."""

import asyncio
import threading
from collections.abc import Callable
from dataclasses import replace
from typing import Any, cast

import httpx2
import openai
import pytest

from cluster.database import Database
from cluster.errors import StorageError
from cluster.ids import DEFAULT_PROJECT
from cluster.records import Project, Usage
from cluster.sections.limits import Bounds, LimitsSettings
from cluster.sections.tracing import PriceSettings
from cluster.settings import Settings
from cluster.storage import StoredBytes
from deployments.errors import Overloaded
from deployments.gateway.app import create_app
from deployments.gateway.queued_model import QueuedModel
from deployments.gateway.services import Services
from deployments.limits.limiter import Limiter
from deployments.limits.model_queue import Capacity, ModelQueue
from deployments.model.messages import ModelCall
from deployments.tracing.prices import Prices
from tests.deployments.gateway.test_files import stored_files
from tests.fakes.parts import FakeModel
from tests.fixtures.gateway import fake_services

MODEL = "smollm2-135m-instruct"
BODY = {"model": MODEL, "messages": [{"role": "user", "content": "Hello?"}], "max_tokens": 10}
EMBEDDING = "all-minilm-l6-v2"
CHAT = "/v1/chat/completions"
Limited = Callable[..., Services]


@pytest.fixture
def limited(settings: Settings, database: Database) -> Limited:
    """Services with limits, over a queued model."""

    def make(
        queue: ModelQueue | None = None, prices: tuple[PriceSettings, ...] = (), **limits: Any
    ) -> Services:
        bounded = settings.model_copy(
            update={
                "limits": LimitsSettings(flush_interval_s=0.01, **limits),
                "tracing": settings.tracing.model_copy(update={"prices": prices}),
            }
        )
        parts = fake_services(bounded, database)
        queue = queue or ModelQueue(Capacity(8), max_waiting=8, max_waiting_per_project=8)
        model = FakeModel(answer='{"choices": []}')
        return replace(parts, models={MODEL: QueuedModel(model, queue)})

    return make


def over(parts: Services) -> httpx2.AsyncClient:
    transport = httpx2.ASGITransport(app=create_app(parts), raise_app_exceptions=False)
    return httpx2.AsyncClient(transport=transport, base_url="http://everloop")


def hold(parts: Services) -> tuple[asyncio.Event, asyncio.Event]:
    """Have the model answer once the second is set; the first tells that it was asked."""
    began, release = asyncio.Event(), asyncio.Event()
    model = cast(FakeModel, cast(QueuedModel, parts.models[MODEL])._model)
    generate = model.generate

    async def held(call: Any) -> Any:
        began.set()
        await release.wait()
        async for part in generate(call):
            yield part

    model.generate = held  # type: ignore[method-assign]
    return began, release


async def test_requests_a_minute_with_openais_body_and_headers(limited: Limited) -> None:
    async with over(limited(key=Bounds(requests_per_minute=2))) as http:
        first = await http.get("/v1/models")
        assert first.headers["x-ratelimit-limit-requests"] == "2"
        assert first.headers["x-ratelimit-remaining-requests"] == "1"
        assert first.headers["x-ratelimit-reset-requests"].endswith("s")
        assert "x-ratelimit-limit-tokens" not in first.headers
        await http.get("/v1/models")
        refused = await http.post(CHAT, json=BODY)
    assert refused.status_code == 429
    error = refused.json()["error"]
    assert (error["code"], error["type"]) == ("rate_limit_exceeded", "rate_limit_error")
    assert int(refused.headers["retry-after"]) in range(1, 31)
    assert refused.headers["x-ratelimit-remaining-requests"] == "0"


async def test_every_answer_of_a_limited_route_has_the_headers(limited: Limited) -> None:
    async with over(limited(project=Bounds(requests_per_minute=100))) as http:
        answers = [
            await http.get("/v1/files/file-none"),
            await http.post(CHAT, content=b"{", headers={"content-type": "application/json"}),
            await http.post(CHAT, content=b"x" * 10_000, headers={"content-type": "text/plain"}),
            await http.get("/v1/nothing"),
            await http.get("/v1/models", headers={"x-everloop-degrade": "maybe"}),
        ]
        open_route = await http.get("/healthz")
    assert [answer.status_code for answer in answers] == [404, 400, 413, 404, 400]
    assert all("x-ratelimit-limit-requests" in answer.headers for answer in answers[:4])
    assert "x-ratelimit-limit-requests" not in open_route.headers


async def test_tokens_are_set_aside_before_and_settled_by_what_was_used(limited: Limited) -> None:
    parts = limited(key=Bounds(tokens_per_minute=200))
    began, release = hold(parts)
    async with over(parts) as http:
        asked = asyncio.create_task(http.post(CHAT, json=BODY))
        await began.wait()
        meanwhile = await http.get("/v1/models")
        told = int(meanwhile.headers["x-ratelimit-remaining-tokens"])
        assert told < 190, "the answer's ten tokens and the prompt are set aside"
        release.set()
        first = await asked
        assert first.status_code == 200
        assert int(first.headers["x-ratelimit-remaining-tokens"]) > told, "used were five or so"
        large = await http.post(CHAT, json={**BODY, "max_tokens": 500})
        assert large.status_code == 429
        assert "more than the 200 a minute" in large.json()["error"]["message"]
        after = await http.get("/v1/models")
    assert int(after.headers["x-ratelimit-remaining-tokens"]) > told
    assert len(cast(FakeModel, cast(QueuedModel, parts.models[MODEL])._model).calls) == 1


async def test_requests_at_once(limited: Limited) -> None:
    parts = limited(key=Bounds(concurrent_requests=1))
    began, release = hold(parts)
    async with over(parts) as http:
        first = asyncio.create_task(http.post(CHAT, json=BODY))
        await began.wait()
        assert (await http.get("/v1/models")).status_code == 429
        release.set()
        assert (await first).status_code == 200
        assert (await http.get("/v1/models")).status_code == 200


async def test_a_used_up_budget_is_a_quota_error_also_after_a_restart(
    limited: Limited, database: Database
) -> None:
    # Four a request, of twenty set aside.
    budget = {"project": Bounds(tokens_per_month=24, requests_per_minute=100)}
    parts = limited(**budget)
    async with over(parts) as http:
        assert (await http.post(CHAT, json=BODY)).status_code == 200
        assert (await http.post(CHAT, json=BODY)).status_code == 200
        short = {**BODY, "max_tokens": 1}
        too_long = await http.post(CHAT, json=BODY)
        assert too_long.json()["error"]["code"] == "insufficient_quota"
        assert "has 16 left" in too_long.json()["error"]["message"]
        for _ in range(2):
            assert (await http.post(CHAT, json=short)).status_code == 200, "it may take 11"
        for _ in range(2):
            await http.post(
                "/v1/embeddings", json={"model": EMBEDDING, "input": "two three four five"}
            )
    await parts.limiter.ledger.close()
    again = limited(**budget)
    async with over(again) as http:
        refused = await http.post(CHAT, json=BODY)
        seen = await http.get("/v1/usage")
        raised = await http.post(
            f"/v1/projects/{DEFAULT_PROJECT}", json={"limits": {"tokens_per_month": None}}
        )
    assert (seen.status_code, raised.status_code) == (200, 200), "who can help is let in"
    assert refused.status_code == 429
    error = refused.json()["error"]
    assert (error["code"], error["type"]) == ("insufficient_quota", "insufficient_quota")
    assert refused.headers["x-should-retry"] == "false"
    assert int(refused.headers["retry-after"]) <= 31 * 86_400 + 1
    assert refused.headers["x-ratelimit-remaining-requests"] == "100", "it is not counted"


async def test_requests_at_once_do_not_overrun_a_budget_together(limited: Limited) -> None:
    parts = limited(key=Bounds(tokens_per_month=40))  # each may take about twenty
    began, release = hold(parts)
    async with over(parts) as http:
        asked = asyncio.create_task(http.post(CHAT, json=BODY))
        await began.wait()
        beside = await http.post(CHAT, json={**BODY, "max_tokens": 25})
        assert (beside.status_code, beside.headers["retry-after"]) == (429, "1")
        assert beside.json()["error"]["code"] == "rate_limit_exceeded"
        release.set()
        assert (await asked).status_code == 200
        after = await http.post(CHAT, json={**BODY, "max_tokens": 25})
    assert after.status_code == 200, "what was not used is there again"


async def test_a_projects_own_bounds_go_before_the_settings(
    limited: Limited, database: Database
) -> None:
    with database.session() as session:
        session.merge(
            Project(id=DEFAULT_PROJECT, name="default", limits={"requests_per_minute": 7})
        )
    async with over(limited(project=Bounds(requests_per_minute=100))) as http:
        answer = await http.get("/v1/models")
    assert answer.headers["x-ratelimit-limit-requests"] == "7"


async def test_usage_is_told_by_month_and_key(limited: Limited) -> None:
    price = PriceSettings(model=MODEL, prompt_per_million=1e6, completion_per_million=2e6)
    parts = limited(prices=(price,))
    async with over(parts) as http:
        for _ in range(2):
            await http.post(CHAT, json=BODY)
        await http.get("/v1/models")
        refused = await http.post(CHAT, json={**BODY, "model": "unknown"})
        assert refused.status_code == 404
        await http.post("/v1/embeddings", json={"model": EMBEDDING, "input": "two words"})
        found = (await http.get("/v1/usage")).json()
        none = (await http.get("/v1/usage?key_id=key_other")).json()
        wrong = await http.get("/v1/usage?month=2026-11")
    (month,) = found["data"]
    assert found["project_id"] == DEFAULT_PROJECT
    figures = {name: month[name] for name in ("requests", "prompt_tokens", "completion_tokens")}
    assert figures == {"requests": 5, "prompt_tokens": 8, "completion_tokens": 2}
    assert month["total_tokens"] == 10
    assert month["cost"] == pytest.approx(10.0)
    assert [key["key_id"] for key in month["keys"]] == ["everybody"]
    assert {
        one["model"]: (one["requests"], one["total_tokens"]) for one in month["keys"][0]["models"]
    } == {None: (2, 0), MODEL: (2, 8), EMBEDDING: (1, 2)}
    assert month["models"] == month["keys"][0]["models"]
    assert none["data"] == []
    assert wrong.status_code == 400


async def test_files_beyond_the_allowed_bytes_are_refused(limited: Limited) -> None:
    async with over(limited(project=Bounds(stored_bytes=10))) as http:
        assert (await _upload(http, 6)).status_code == 200
        refused = await _upload(http, 5)
        assert refused.status_code == 429
        assert refused.json()["error"]["code"] == "insufficient_quota"
        assert "retry-after" not in refused.headers
        assert (await _upload(http, 4)).status_code == 200


async def _upload(http: httpx2.AsyncClient, size: int) -> httpx2.Response:
    files = {"file": ("notes.txt", b"x" * size)}
    return await http.post("/v1/files", data={"purpose": "user_data"}, files=files)


async def test_uploads_under_way_do_not_exceed_the_allowed_bytes_together(
    limited: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    parts = limited(project=Bounds(stored_bytes=10))
    put, began, go = parts.storage.put, threading.Event(), threading.Event()

    def failing(key: str, chunks: Any) -> StoredBytes:
        began.set()
        assert go.wait(20)
        raise StorageError("The disk broke.")

    async with over(parts) as http:
        monkeypatch.setattr(parts.storage, "put", failing)
        first = asyncio.create_task(_upload(http, 6))
        await asyncio.to_thread(began.wait, 20)
        second = await _upload(http, 5)
        go.set()
        assert (await first).status_code == 503
        monkeypatch.setattr(parts.storage, "put", put)
        assert (await _upload(http, 10)).status_code == 200, "what failed holds no room"
    assert second.status_code == 429
    assert second.json()["error"]["code"] == "rate_limit_exceeded"
    assert second.headers["retry-after"] == "1"


async def test_uploads_through_several_gateways_do_not_exceed_them_either(
    limited: Limited, monkeypatch: pytest.MonkeyPatch
) -> None:
    gateways = [limited(project=Bounds(stored_bytes=10)) for _ in range(3)]
    all_put = threading.Barrier(len(gateways))

    def together(put: Callable[..., StoredBytes]) -> Callable[..., StoredBytes]:
        def wait(key: str, chunks: Any) -> StoredBytes:
            stored = put(key, chunks)
            all_put.wait(20)
            return stored

        return wait

    async def upload(parts: Services) -> httpx2.Response:
        async with over(parts) as http:
            return await _upload(http, 5)

    for parts in gateways:
        monkeypatch.setattr(parts.storage, "put", together(parts.storage.put))
    answers = await asyncio.gather(*map(upload, gateways))
    assert sorted(answer.status_code for answer in answers) == [200, 200, 429]
    (refused,) = [answer.json()["error"] for answer in answers if answer.status_code == 429]
    assert refused["code"] == "insufficient_quota"
    assert len(stored_files(gateways[0])) == 2, "the bytes of the third are gone"


class FullQueue(ModelQueue):
    """One that has no place and lets nobody wait."""

    def __init__(self) -> None:
        super().__init__(Capacity(1), max_waiting=0, max_waiting_per_project=0)


async def test_where_no_model_takes_more_the_body_is_not_read(limited: Limited) -> None:
    queue = FullQueue()
    async with queue.place("proj_other", 1, 100), over(limited(queue)) as http:
        refused = await http.post(
            CHAT, content=b"no JSON", headers={"content-type": "application/json"}
        )
        other = await http.get("/v1/models")
    assert refused.status_code == 429
    assert refused.json()["error"]["code"] == "overloaded"
    assert int(refused.headers["retry-after"]) >= 1
    assert other.status_code == 200


async def test_the_client_retries_a_full_model_and_not_a_used_up_quota(limited: Limited) -> None:
    parts = limited(project=Bounds(tokens_per_month=20))
    asked = 0

    async with over(parts) as http:
        send = http.send

        async def counted(*args: Any, **named: Any) -> httpx2.Response:
            nonlocal asked
            asked += 1
            return await send(*args, **named)

        http.send = counted  # type: ignore[method-assign]
        client = openai.AsyncOpenAI(
            base_url="http://everloop/v1", api_key="none", http_client=http, max_retries=3
        )
        messages: Any = BODY["messages"]
        await client.chat.completions.create(model=MODEL, messages=messages, max_tokens=8)
        with pytest.raises(openai.RateLimitError) as refused:
            await client.chat.completions.create(model=MODEL, messages=messages, max_tokens=8)
    assert refused.value.code == "insufficient_quota"
    assert asked == 2


async def test_requests_are_counted_as_they_count_against_the_rate(
    limited: Limited, database: Database
) -> None:
    parts = limited(key=Bounds(requests_per_minute=3))
    vars(parts)["limiter"] = Limiter(
        database, parts.settings.limits, prices=Prices(), clock=lambda: 0.0
    )
    async with over(parts) as http:
        await http.get("/healthz")
        failed = await http.post(CHAT, json={"model": "unknown", "messages": []})
        await http.post("/v1/moderations", json={"input": "Hello."})
        await http.get("/v1/files")
        refused = await http.get("/v1/files")
    assert (failed.status_code, refused.status_code) == (400, 429)
    await parts.limiter.ledger.close()
    with database.session(read_only=True) as session:
        rows = {row.model: (row.requests, row.prompt_tokens) for row in session.query(Usage)}
    assert rows == {"": (2, 0), "everloop-guards": (1, 0)}


async def test_every_call_to_a_model_counts_for_the_request_that_makes_it(
    limited: Limited, database: Database
) -> None:
    """A judge is asked beside the model: its tokens are the project's, and no request."""
    parts = limited()
    judged = cast(FakeModel, cast(QueuedModel, parts.models[MODEL])._model)
    judge = QueuedModel(judged, parts.models[MODEL].queue, model_id="judge")  # type: ignore[attr-defined]
    app = create_app(parts)

    @app.get("/v1/judged")
    async def ask() -> None:
        async for _ in judge.generate(ModelCall("chat", {"messages": []}, "req")):
            pass

    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://everloop") as http:
        assert (await http.get("/v1/judged")).status_code == 200
    await parts.limiter.ledger.close()
    with database.session(read_only=True) as session:
        rows = {row.model: (row.requests, row.prompt_tokens) for row in session.query(Usage)}
    assert rows == {"": (1, 0), "judge": (0, 3)}


async def test_end_users_of_one_project_do_not_use_up_anothers_rate(limited: Limited) -> None:
    """The holders of feedback tokens have the same name in every project."""
    limiter = limited(key=Bounds(requests_per_minute=1)).limiter
    (await limiter.open("proj_a", "end-user")).begin()
    (await limiter.open("proj_b", "end-user")).begin()
    with pytest.raises(Overloaded):
        (await limiter.open("proj_a", "end-user")).begin()
