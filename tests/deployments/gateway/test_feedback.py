"""`/v1/feedback` by the official client."""

import asyncio
import json
from collections.abc import Awaitable, Callable
from typing import Any, cast

import httpx2
import openai
import pytest

from cluster.database import Database
from cluster.ids import new_id
from cluster.records import Feedback, ResponseRecord, Trace
from cluster.settings import FeedbackSettings, Settings
from deployments.feedback.reading import feedback_of
from deployments.gateway.app import create_app
from deployments.gateway.services import Services
from deployments.gateway.users import user_digest
from deployments.tracing.draft import TraceDraft
from tests.fakes.parts import FakeModel

Post = Callable[..., Awaitable[Any]]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With a page of another origin."""
    allowed = FeedbackSettings(allowed_origins=("https://shop.example",))
    return settings.model_copy(update={"feedback": allowed})


@pytest.fixture
def parts(parts: Services) -> Services:
    """With a model whose answer is a chat completion."""
    message = {"role": "assistant", "content": "So."}
    (model,) = parts.models.values()
    cast(FakeModel, model).answer = json.dumps({"choices": [{"index": 0, "message": message}]})
    return parts


@pytest.fixture
def post(client: openai.AsyncOpenAI) -> Post:
    async def send(path: str, **body: Any) -> Any:
        return await client.post(path, cast_to=object, body=body)

    return send


@pytest.fixture
def listed(client: openai.AsyncOpenAI) -> Post:
    async def get(**query: Any) -> list[Any]:
        page: Any = await client.get("/feedback", cast_to=object, options={"params": query})
        return list(page["data"])

    return get


def draft(**values: Any) -> TraceDraft:
    fields = {"question": "Why?", "answer": "So.", "model": "m", "route": "/v1/chat/completions"}
    return TraceDraft(**{**fields, **values})


async def kept(parts: Services, **values: Any) -> str:
    """A trace in the records; returns its id."""
    made = draft(**values)
    parts.traces.record(made)
    await parts.traces.flush()
    return made.id


def rows(database: Database) -> list[Feedback]:
    with database.session(read_only=True) as session:
        return list(session.query(Feedback).order_by(Feedback.id))


async def test_feedback_is_kept_with_its_trace(
    post: Post, parts: Services, database: Database
) -> None:
    trace = await kept(parts)
    said = await post(
        "/feedback",
        trace_id=trace,
        thumbs="down",
        score=0.25,
        correction="Because.",
        comment="Too short.",
        user="ann",
        metadata={"page": "help"},
    )
    assert said["object"] == "feedback"
    assert said["id"].startswith("fb_")
    wanted = {
        "trace_id": trace,
        "name": "feedback",
        "source": "api",
        "user_id": user_digest({"user": "ann"}, None),
        "thumbs": "down",
        "score": 0.25,
        "correction": "Because.",
        "comment": "Too short.",
        "review": "pending",
        "metadata": {"page": "help"},
    }
    assert {name: said[name] for name in wanted} == wanted
    with database.session(read_only=True) as session:
        found = feedback_of(session, [trace, "trace_other"])
    assert found == {trace: [{k: v for k, v in said.items() if k != "trace"}], "trace_other": []}


async def test_feedback_right_after_an_answer_finds_what_is_still_in_the_buffer(
    client: openai.AsyncOpenAI, post: Post
) -> None:
    answered = await client.chat.completions.with_raw_response.create(
        model="smollm2-135m-instruct", messages=[{"role": "user", "content": "Why?"}]
    )
    said = await post("/feedback", request_id=answered.headers["x-request-id"], thumbs="up")
    assert said["trace_id"] == answered.headers["x-trace-id"]


async def test_feedback_waits_for_a_trace_that_another_replica_holds(
    post: Post, parts: Services
) -> None:
    made = draft()

    async def written_later() -> None:
        await asyncio.sleep(0.005)
        await parts.database.run(lambda session: session.add(made.row()))

    writing = asyncio.create_task(written_later())
    said = await post("/feedback", trace_id=made.id, thumbs="up")
    await writing
    assert said["trace_id"] == made.id


async def test_a_request_is_found_by_each_of_its_ids(post: Post, parts: Services) -> None:
    older = await kept(parts, request_id="req-1")
    newer = await kept(parts, request_id="req-1")
    record = ResponseRecord(id="resp_1", body={}, messages=[], trace_id=older)
    await parts.database.run(lambda session: session.add(record))
    found = {}
    for field, value in [
        ("trace_id", older),
        ("response_id", "resp_1"),
        ("request_id", "req-1"),
        ("completion_id", "chatcmpl-req-1"),
        ("completion_id", "cmpl-req-1"),
    ]:
        said = await post("/feedback", **{field: value}, name=new_id("n"), thumbs="up")
        found[value] = said["trace_id"]
    assert found == {
        older: older,
        "resp_1": older,
        "req-1": newer,
        "chatcmpl-req-1": newer,
        "cmpl-req-1": newer,
    }


@pytest.mark.parametrize("field", ["trace_id", "request_id", "response_id", "completion_id"])
async def test_a_request_that_never_was_is_a_404(
    post: Post, database: Database, field: str
) -> None:
    with pytest.raises(openai.NotFoundError) as refused:
        await post("/feedback", **{field: "nothing"}, thumbs="up")
    assert refused.value.param == field
    assert rows(database) == []


@pytest.mark.parametrize(
    ("body", "said"),
    [
        ({"trace_id": "t"}, "At least one of thumbs, score, correction, comment"),
        ({"trace_id": "t", "request_id": "r", "thumbs": "up"}, "Exactly one of trace_id"),
        ({"thumbs": "up"}, "Exactly one of trace_id"),
        ({"trace_id": "t", "thumbs": "sideways"}, "'up' or 'down'"),
        ({"trace_id": "t", "score": 1.5}, "less than or equal to 1"),
        ({"trace_id": "t", "correction": ""}, "correction is ''"),
        ({"trace_id": "t", "thumbs": "up", "name": "a b"}, "name"),
        ({"trace_id": "t", "thumbs": "up", "rating": 1}, "rating"),
    ],
)
async def test_a_wrong_body_is_told_by_its_field(post: Post, body: Any, said: str) -> None:
    with pytest.raises(openai.BadRequestError, match=said):
        await post("/feedback", **body)


async def test_who_says_it_again_changes_it(
    post: Post, parts: Services, database: Database
) -> None:
    trace = await kept(parts)
    first = await post("/feedback", trace_id=trace, thumbs="up", user="ann")
    again = await post("/feedback", trace_id=trace, correction="Because.", user="ann")
    assert again["id"] == first["id"]
    assert (again["thumbs"], again["correction"]) == ("up", "Because.")
    back = await post("/feedback", trace_id=trace, thumbs=None, user="ann")
    assert (back["thumbs"], back["correction"]) == (None, "Because.")
    assert len(rows(database)) == 1
    with pytest.raises(openai.BadRequestError, match="Nothing would be left"):
        await post("/feedback", trace_id=trace, correction=None, user="ann")
    assert rows(database)[0].correction == "Because."


async def test_another_user_or_name_or_trace_is_other_feedback(
    post: Post, parts: Services, database: Database
) -> None:
    trace, other = await kept(parts), await kept(parts)
    for body in (
        {"trace_id": trace},
        {"trace_id": trace, "user": "ann"},
        {"trace_id": trace, "user": "bob"},
        {"trace_id": trace, "name": "tone"},
        {"trace_id": other},
    ):
        await post("/feedback", **body, thumbs="up")
    assert len(rows(database)) == 5


async def test_the_same_at_once_is_one(post: Post, parts: Services, database: Database) -> None:
    trace = await kept(parts)
    said = await asyncio.gather(
        *(post("/feedback", trace_id=trace, score=n / 10) for n in range(6))
    )
    assert len({one["id"] for one in said}) == 1
    assert len(rows(database)) == 1


async def test_a_review_holds_until_the_feedback_changes(post: Post, parts: Services) -> None:
    trace = await kept(parts)
    said = await post("/feedback", trace_id=trace, correction="Because.")
    path = f"/feedback/{said['id']}/review"
    done = await post(path, review="accepted", reviewer="rea", correction="Because it is.")
    assert (done["review"], done["reviewer"]) == ("accepted", "rea")
    assert done["correction"] == "Because it is."
    assert done["reviewed_at"] >= said["created_at"]
    same = await post("/feedback", trace_id=trace, correction="Because it is.")
    assert same["review"] == "accepted"
    changed = await post("/feedback", trace_id=trace, correction="No.")
    assert (changed["review"], changed["reviewer"], changed["reviewed_at"]) == (
        "pending",
        None,
        None,
    )


async def test_a_review_of_what_has_changed_since_is_refused(
    post: Post, parts: Services, database: Database
) -> None:
    said = await post("/feedback", trace_id=await kept(parts), thumbs="up")
    path = f"/feedback/{said['id']}/review"
    with pytest.raises(openai.ConflictError, match="has changed"):
        await post(path, review="accepted", updated_at=said["updated_at"] - 1)
    assert rows(database)[0].review == "pending"
    done = await post(path, review="rejected", updated_at=said["updated_at"])
    assert done["review"] == "rejected"


async def test_feedback_is_retrieved_and_forgotten(
    client: openai.AsyncOpenAI, post: Post, parts: Services
) -> None:
    said = await post("/feedback", trace_id=await kept(parts), thumbs="up")
    path = f"/feedback/{said['id']}"
    assert await client.get(path, cast_to=object) == said
    gone: Any = await client.delete(path, cast_to=object)
    assert gone == {"id": said["id"], "object": "feedback", "deleted": True}
    for call in (client.get(path, cast_to=object), client.delete(path, cast_to=object)):
        with pytest.raises(openai.NotFoundError, match="No such feedback"):
            await call


async def test_a_list_is_narrowed_by_each_filter(post: Post, listed: Post, parts: Services) -> None:
    one = await kept(
        parts, model="ft", alias="assistant", prompt_version="p@1", experiment_id="exp_1"
    )
    two = await kept(parts)
    first = (await post("/feedback", trace_id=one, correction="x", name="tone"))["id"]
    second = (await post("/feedback", trace_id=two, thumbs="up"))["id"]
    await post(f"/feedback/{second}/review", review="accepted")
    cases: list[tuple[dict[str, Any], list[str]]] = [
        ({}, [second, first]),
        ({"order": "asc"}, [first, second]),
        ({"trace_id": two}, [second]),
        ({"name": "tone"}, [first]),
        ({"thumbs": "up"}, [second]),
        ({"thumbs": "down"}, []),
        ({"review": "pending"}, [first]),
        ({"source": "end_user"}, []),
        ({"has_correction": True}, [first]),
        ({"has_correction": False}, [second]),
        ({"model": "ft"}, [first]),
        ({"model": "assistant"}, [first]),
        ({"prompt_version": "p@1"}, [first]),
        ({"experiment": "exp_1"}, [first]),
        ({"experiment": "exp_1", "thumbs": "up"}, []),
        ({"since": 2**40}, []),
        ({"until": 1}, []),
        ({"since": 1, "until": 2**40}, [second, first]),
    ]
    for query, wanted in cases:
        assert [found["id"] for found in await listed(**query)] == wanted, query


async def test_a_list_says_what_feedback_is_on(
    client: openai.AsyncOpenAI, post: Post, listed: Post, parts: Services
) -> None:
    answered = await client.chat.completions.with_raw_response.create(
        model="smollm2-135m-instruct",
        messages=[
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Why?"},
        ],
    )
    await post("/feedback", trace_id=answered.headers["x-trace-id"], thumbs="up")
    assert (await listed())[0]["trace"] is None
    trace = (await listed(**{"include[]": "trace"}))[0]["trace"]
    assert (trace["question"], trace["grounded"]) == ("Why?", False)
    assert [message["content"] for message in trace["messages"]] == ["Be kind.", "Why?"]


async def test_feedback_outlives_its_trace(
    post: Post, listed: Post, parts: Services, database: Database
) -> None:
    trace = await kept(parts)
    await post("/feedback", trace_id=trace, thumbs="up")
    with database.session() as session:
        session.delete(session.get_one(Trace, trace))
    (found,) = await listed(**{"include[]": "trace"})
    assert (found["trace_id"], found["trace"]) == (trace, None)


async def test_an_end_user_needs_the_token_alone(
    post: Post, http: httpx2.AsyncClient, parts: Services, database: Database
) -> None:
    trace = await kept(parts)
    made = await post("/feedback/tokens", trace_id=trace, allow=["thumbs"], user="ann")
    assert (made["trace_ids"], made["allow"]) == ([trace], ["thumbs"])
    bearer = {"Authorization": f"Bearer {made['token']}"}
    path = "/v1/feedback/end-user"
    first = await http.post(path, json={"thumbs": "down"}, headers=bearer)
    again = await http.post(path, json={"thumbs": "up", "token": made["token"]})
    assert first.status_code == again.status_code == 200
    (row,) = rows(database)
    assert (row.trace_id, row.source, row.thumbs) == (trace, "end_user", "up")
    assert row.user_id == user_digest({"user": "ann"}, None)
    refused = await http.post(path, json={"comment": "x"}, headers=bearer)
    assert (refused.status_code, refused.json()["error"]["param"]) == (403, "comment")
    other = await http.post(path, json={"thumbs": "up", "trace_id": "trace_x"}, headers=bearer)
    assert (other.status_code, other.json()["error"]["param"]) == (403, "trace_id")


@pytest.mark.parametrize("header", ["Basic eA==", "Bearer ", "Bearer fbt_forged.x", None])
async def test_without_a_token_of_ours_nothing_is_kept(
    http: httpx2.AsyncClient, database: Database, header: str | None
) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = await http.post("/v1/feedback/end-user", json={"thumbs": "up"}, headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == "invalid_token"
    assert rows(database) == []


async def test_a_token_is_for_requests_there_are_and_for_a_bounded_time(
    post: Post, parts: Services, settings: Settings
) -> None:
    with pytest.raises(openai.NotFoundError):
        await post("/feedback/tokens", trace_id="trace_x")
    traces = [await kept(parts), await kept(parts)]
    most = settings.feedback.token_ttl_s
    with pytest.raises(openai.BadRequestError, match="token_ttl_s"):
        await post("/feedback/tokens", trace_ids=traces, expires_in=most + 1)
    with pytest.raises(openai.BadRequestError, match="Exactly one of trace_ids"):
        await post("/feedback/tokens", trace_ids=traces, trace_id=traces[0])
    made = await post("/feedback/tokens", trace_ids=[*traces, traces[0]], expires_in=60)
    longest = await post("/feedback/tokens", trace_id=traces[0])
    assert made["trace_ids"] == traces
    assert longest["expires_at"] - made["expires_at"] >= most - 60


async def test_a_key_that_is_too_short_is_told(
    post: Post, parts: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = await kept(parts)
    monkeypatch.setenv("EVERLOOP_FEEDBACK_SECRET", "short")
    with pytest.raises(openai.InternalServerError, match="5 characters"):
        await post("/feedback/tokens", trace_id=trace)


async def test_pages_of_allowed_origins_may_send_feedback_and_read_its_errors(
    http: httpx2.AsyncClient,
) -> None:
    asked = {
        "Origin": "https://shop.example",
        "Access-Control-Request-Method": "POST",
        "Access-Control-Request-Headers": "authorization,content-type",
    }
    ours = "/v1/feedback/end-user"
    allowed = await http.options(ours, headers=asked)
    assert allowed.status_code == 200
    assert allowed.headers["access-control-allow-origin"] == "https://shop.example"
    refused = await http.post(ours, json={"thumbs": "up"}, headers={"Origin": asked["Origin"]})
    assert refused.status_code == 401
    assert refused.headers["access-control-allow-origin"] == "https://shop.example"
    stranger = await http.options(ours, headers={**asked, "Origin": "https://evil.example"})
    assert "access-control-allow-origin" not in stranger.headers
    elsewhere = await http.options("/v1/feedback", headers=asked)
    assert elsewhere.status_code == 405


async def test_by_default_no_other_origin_may(parts: Services, settings: Settings) -> None:
    closed = settings.model_copy(update={"feedback": FeedbackSettings()})
    app = create_app(Services(**{**vars(parts), "settings": closed}))
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://everloop") as http:
        answer = await http.options("/v1/feedback/end-user", headers={"Origin": "https://a.b"})
    assert answer.status_code == 405
