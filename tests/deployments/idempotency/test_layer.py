"""A request that names itself is carried out once: retried, at the same time, or after a death."""

import asyncio
import itertools
from collections.abc import Callable
from typing import Any

import httpx2
import openai
import pytest
from fastapi import FastAPI
from fastapi.routing import APIRoute
from sqlalchemy import func, select, update
from sqlalchemy.orm import Session
from starlette.responses import JSONResponse
from starlette.types import ASGIApp, Receive, Scope, Send

from cluster.database import Database
from cluster.fencing import fenced_by
from cluster.records import FineTuningJob, IdempotencyKey, StoredFile, VectorStore
from cluster.settings import IdempotencySettings, Settings
from cluster.tenancy import acting_in, acting_project
from deployments.errors import Conflict
from deployments.gateway.services import Services
from deployments.idempotency.body_digest import BodyDigest
from deployments.idempotency.claims import Claim, Claims, Known
from deployments.idempotency.covered import is_covered, shows_secret
from deployments.idempotency.layer import Idempotency
from deployments.tracing.draft import TraceDraft
from deployments.tracing.writer import TraceWriter

KEY = {"Idempotency-Key": "once 1"}


@pytest.fixture
def wait_s() -> float:
    """How long a retry waits for the one before it; whoever waits in vain says less."""
    return 30


@pytest.fixture
def settings(settings: Settings, wait_s: float) -> Settings:
    """Waits that a test can wait for."""
    quick = IdempotencySettings(wait_s=wait_s, lease_s=3)
    return settings.model_copy(update={"idempotency": quick})


def _count(database: Database, table: Any) -> int:
    with database.session(read_only=True) as session:
        return session.scalar(select(func.count()).select_from(table)) or 0


async def test_a_retried_upload_is_stored_once_and_answered_alike(
    client: openai.AsyncOpenAI, database: Database, http: httpx2.AsyncClient
) -> None:
    data = b"page " * 200_000
    first = await client.files.create(file=("a.txt", data), purpose="user_data", extra_headers=KEY)
    raw = await client.files.with_raw_response.create(
        file=("a.txt", data), purpose="user_data", extra_headers=KEY
    )  # another request of the same form has another boundary
    assert raw.headers["idempotency-replayed"] == "true"
    assert raw.parse() == first
    assert _count(database, StoredFile) == 1
    with pytest.raises(openai.UnprocessableEntityError) as caught:
        await client.files.create(file=("a.txt", b"x"), purpose="user_data", extra_headers=KEY)
    assert caught.value.code == "idempotency_key_reused"


async def test_a_retried_training_job_is_queued_once(
    client: openai.AsyncOpenAI, database: Database
) -> None:
    rows = (
        b'{"messages": [{"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}]}\n'
    )
    file = await client.files.create(file=("t.jsonl", rows * 12), purpose="fine-tune")
    made = [
        await client.fine_tuning.jobs.create(
            model="smollm2-135m-instruct", training_file=file.id, extra_headers=KEY
        )
        for _ in range(3)
    ]
    assert len({job.id for job in made}) == 1
    assert _count(database, FineTuningJob) == 1


async def test_keys_are_of_one_path_and_none_is_needed(
    http: httpx2.AsyncClient, database: Database
) -> None:
    for _ in range(2):
        assert (await http.post("/v1/vector_stores", json={"name": "a"})).status_code == 200
    assert _count(database, VectorStore) == 2
    await http.post("/v1/vector_stores", json={"name": "a"}, headers=KEY)
    refused = await http.post("/v1/evals", json={"name": "a"}, headers=KEY)
    assert refused.status_code == 422


async def test_two_that_come_at_once_make_one(http: httpx2.AsyncClient, database: Database) -> None:
    sent = [http.post("/v1/vector_stores", json={"name": "a"}, headers=KEY) for _ in range(8)]
    answers = await asyncio.gather(*sent)
    assert [answer.status_code for answer in answers] == [200] * 8
    assert len({answer.json()["id"] for answer in answers}) == 1
    assert sum("idempotency-replayed" in answer.headers for answer in answers) == 7
    assert _count(database, VectorStore) == 1


@pytest.mark.parametrize("wait_s", [0.5])
async def test_one_that_comes_too_early_is_told_to_come_again(
    http: httpx2.AsyncClient, database: Database
) -> None:
    await Claims(database, 60).claim(KEY["Idempotency-Key"], "POST /v1/vector_stores")
    answer = await http.post("/v1/vector_stores", json={"name": "a"}, headers=KEY)
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "idempotency_key_in_use"
    assert answer.headers["retry-after"] == "1"
    assert "x-should-retry" not in answer.headers
    assert _count(database, VectorStore) == 0


async def test_a_client_that_leaves_finds_what_was_made(
    app: FastAPI, http: httpx2.AsyncClient, parts: Services, database: Database,
    monkeypatch: pytest.MonkeyPatch,
) -> None:  # fmt: skip
    began, go = asyncio.Event(), asyncio.Event()
    run = parts.database.run

    async def slow(fn: Callable[[Session], Any], *, read_only: bool = False) -> Any:
        if fn.__qualname__.startswith("create_store."):
            began.set()
            await go.wait()
        return await run(fn, read_only=read_only)

    monkeypatch.setattr(parts.database, "run", slow)
    asked = http.post("/v1/vector_stores", json={"name": "a"}, headers=KEY)
    first = asyncio.create_task(asked)
    await asyncio.wait_for(began.wait(), 10)
    first.cancel()
    await asyncio.gather(first, return_exceptions=True)
    go.set()
    again = await http.post("/v1/vector_stores", json={"name": "a"}, headers=KEY)
    assert again.status_code == 200
    assert again.headers["idempotency-replayed"] == "true"
    assert _count(database, VectorStore) == 1


async def test_an_error_that_made_nothing_frees_the_key(
    http: httpx2.AsyncClient, database: Database
) -> None:
    wrong = await http.post("/v1/vector_stores", json={"name": 7}, headers=KEY)
    assert wrong.status_code == 400
    right = await http.post("/v1/vector_stores", json={"name": "a"}, headers=KEY)
    assert right.status_code == 200
    assert "idempotency-replayed" not in right.headers


@pytest.mark.parametrize("key", ["", "é", "x" * 256])
async def test_a_key_that_is_none_is_refused(http: httpx2.AsyncClient, key: str) -> None:
    answer = await http.post(
        "/v1/vector_stores", json={}, headers={b"Idempotency-Key": key.encode("latin-1")}
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "Idempotency-Key"


def _lapse(database: Database) -> None:
    with database.session() as session:
        session.execute(update(IdempotencyKey).values(lease_until=1))


async def _claimed(database: Database, path: str) -> tuple[Claim, BodyDigest]:
    claim = await Claims(database, 60).claim(KEY["Idempotency-Key"], f"POST {path}")
    assert isinstance(claim, Claim)
    scope = {"method": "POST", "path": path, "query_string": b"", "headers": []}
    return claim, BodyDigest(scope)


async def test_a_gateway_killed_before_the_commit_left_nothing_and_the_retry_makes_it(
    http: httpx2.AsyncClient, database: Database
) -> None:
    claim, digest = await _claimed(database, "/v1/vector_stores")
    _lapse(database)
    answer = await http.post("/v1/vector_stores", json={"name": "a"}, headers=KEY)
    assert answer.status_code == 200
    with pytest.raises(Conflict), fenced_by(claim.fence(digest)):  # it was slow, not dead
        await database.run(lambda session: session.add(VectorStore(id="vs_late")))
    assert _count(database, VectorStore) == 1


async def test_a_gateway_killed_after_the_commit_left_word_of_what_it_made(
    http: httpx2.AsyncClient, database: Database
) -> None:
    claim, digest = await _claimed(database, "/v1/vector_stores")
    digest.update(b'{"name":"a"}')
    with fenced_by(claim.fence(digest)):
        await database.run(lambda session: session.add(VectorStore(id="vs_made", name="a")))
    _lapse(database)
    for _ in range(2):
        answer = await http.post(
            "/v1/vector_stores", content=b'{"name":"a"}',
            headers={**KEY, "content-type": "application/json"},
        )  # fmt: skip
        assert answer.status_code == 200
        assert answer.json()["id"] == "vs_made"
        assert answer.headers["idempotency-replayed"] == "true"
    other = await http.post("/v1/vector_stores", json={"name": "b"}, headers=KEY)
    assert other.status_code == 422
    assert _count(database, VectorStore) == 1


async def test_what_was_made_and_cannot_be_shown_is_told_and_not_made_again(
    http: httpx2.AsyncClient, database: Database
) -> None:
    claim, digest = await _claimed(database, "/v1/vector_stores")
    digest.update(b"{}")
    with fenced_by(claim.fence(digest)):
        await database.run(lambda session: session.add(VectorStore(id="vs_gone", deleted_at=1)))
    _lapse(database)
    answer = await http.post(
        "/v1/vector_stores", content=b"{}", headers={**KEY, "content-type": "application/json"}
    )
    assert answer.status_code == 409
    assert answer.json()["error"]["code"] == "idempotency_answer_lost"
    assert "vs_gone" in answer.json()["error"]["message"]
    assert answer.headers["x-should-retry"] == "false"


async def test_of_two_attempts_the_records_take_one(database: Database) -> None:
    claim, digest = await _claimed(database, "/v1/vector_stores")
    with fenced_by(claim.fence(digest)):
        await database.run(lambda session: session.add(VectorStore(id="vs_first")))
        await database.run(lambda session: session.add(VectorStore(id="vs_beside")))
    _lapse(database)
    found = await Claims(database, 60).claim(KEY["Idempotency-Key"], "POST /v1/vector_stores")
    assert isinstance(found, Known)
    assert found.settled
    assert found.made == ("vs_first",)


async def test_reading_and_failing_make_nothing(database: Database) -> None:
    claim, digest = await _claimed(database, "/v1/vector_stores")

    def fail(session: Session) -> None:
        session.add(VectorStore(id="vs_a"))
        session.flush()
        raise RuntimeError

    with fenced_by(claim.fence(digest)):
        await database.run(lambda session: session.get(VectorStore, "vs_a"))
        with pytest.raises(RuntimeError):
            await database.run(fail)
    _lapse(database)
    again = await Claims(database, 60).claim(KEY["Idempotency-Key"], "POST /v1/vector_stores")
    assert isinstance(again, Claim)


async def test_traces_that_are_written_meanwhile_are_nothing_that_was_made(
    database: Database,
) -> None:
    claim, digest = await _claimed(database, "/v1/feedback")
    writer = TraceWriter(database)
    with fenced_by(claim.fence(digest)):
        writer.record(TraceDraft(request_id="r", route="/v1/responses"))
        await writer.flush()
    await writer.close()
    assert writer.written == 1
    with database.session(read_only=True) as session:
        assert session.scalars(select(IdempotencyKey.made)).one() is None


def test_every_creating_route_is_covered(app: FastAPI) -> None:
    posts = {
        route.path
        for route in app.routes
        if isinstance(route, APIRoute) and "POST" in (route.methods or ())
    }
    left_out = {path for path in posts if not is_covered("POST", path)}
    assert left_out <= {
        "/v1/chat/completions", "/v1/completions", "/v1/embeddings", "/v1/rerank",
        "/v1/moderations", "/v1/graders/run", "/v1/graders/validate", "/v1/feedback/tokens",
        "/v1/vector_stores/{vector_store_id}/search", "/v1/prompts/{name}/render",
        "/v1/feedback/end-user",
    }  # fmt: skip
    assert "/v1/feedback/end-user" in left_out, "strangers' keys do not stand among the project's"
    assert {"/v1/files", "/v1/responses", "/v1/fine_tuning/jobs"} <= posts - left_out


def _around(app: ASGIApp, database: Database, *, wait_s: float) -> httpx2.AsyncClient:
    """A client of the layer alone around `app`."""
    layer = Idempotency(app, Claims(database, 60), wait_s=wait_s, longest_s=60)

    async def traced(scope: Scope, receive: Receive, send: Send) -> None:
        scope["state"] = {"trace": TraceDraft(request_id="r")}
        await layer(scope, receive, send)

    transport = httpx2.ASGITransport(app=traced)
    return httpx2.AsyncClient(transport=transport, base_url="http://everloop")


async def test_a_project_with_many_in_waiting_leaves_places_for_others(
    database: Database, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("deployments.idempotency.layer._WAITING", 8)
    made = JSONResponse({"id": "vs_1"})
    claims, look, waits = Claims(database, 60), Claims.look, asyncio.Event()

    async def seen(of: Claims, key: str) -> Known | None:
        if acting_project() == "proj_other":
            waits.set()
        return await look(of, key)

    monkeypatch.setattr(Claims, "look", seen)

    async def claimed(project: str) -> Claim:
        with acting_in(project):
            claim = await claims.claim(KEY["Idempotency-Key"], "POST /v1/vector_stores")
        assert isinstance(claim, Claim)
        return claim

    async with _around(made, database, wait_s=10) as http:

        def sent(project: str) -> asyncio.Task[httpx2.Response]:
            with acting_in(project):
                asked = http.post("/v1/vector_stores", json={}, headers=KEY)
                return asyncio.create_task(asked)

        noisy, other = await claimed("proj_noisy"), await claimed("proj_other")
        many = [sent("proj_noisy") for _ in range(20)]
        refused = [await answer for answer in itertools.islice(asyncio.as_completed(many), 16)]
        assert {answer.json()["error"]["code"] for answer in refused} == {"idempotency_key_in_use"}
        one = sent("proj_other")
        await asyncio.wait_for(waits.wait(), 10)
        await other.release()
        assert (await one).status_code == 200
        await noisy.release()
        assert [answer.status_code for answer in await asyncio.gather(*many)].count(200) == 4


async def test_an_answer_that_shows_a_key_is_not_kept(database: Database) -> None:
    async def make_key(_scope: Scope, _receive: Receive, send: Send) -> None:
        await database.run(lambda session: session.add(VectorStore(id="key_1")))
        await JSONResponse({"id": "key_1", "key": "secret-text"})(_scope, _receive, send)

    async with _around(make_key, database, wait_s=1) as http:
        first = await http.post("/v1/keys", json={}, headers=KEY)
        again = await http.post("/v1/keys", json={}, headers=KEY)
    assert first.json()["key"] == "secret-text"
    assert again.status_code == 409
    assert again.json()["error"]["code"] == "idempotency_answer_shown_once"
    assert again.headers["x-should-retry"] == "false"
    with database.session(read_only=True) as session:
        assert session.scalars(select(IdempotencyKey)).one().answer is None


@pytest.mark.parametrize("path", ["/v1/keys", "/v1/projects/proj_a/keys", "/v1/keys/key_1/rotate"])
def test_paths_of_keys_show_secrets(path: str) -> None:
    assert shows_secret(path)
    assert not shows_secret("/v1/files")
