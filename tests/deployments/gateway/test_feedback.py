"""`/v1/feedback` by the official client."""

import asyncio
import json
from typing import Any, cast

import openai
import pytest

from cluster.database import Database
from cluster.ids import new_id
from cluster.records import ResponseRecord, Trace
from deployments.feedback.reading import feedback_of
from deployments.gateway.services import Services
from deployments.gateway.users import user_digest
from deployments.tracing.rows import RowMaker
from tests.fakes.parts import FakeModel
from tests.fixtures.feedback import Post, draft, feedback_rows, kept_trace, post

__all__ = ["post"]


@pytest.fixture
def parts(parts: Services) -> Services:
    """With a model whose answer is a chat completion."""
    message = {"role": "assistant", "content": "So."}
    (model,) = parts.models.values()
    cast(FakeModel, model).answer = json.dumps({"choices": [{"index": 0, "message": message}]})
    return parts


@pytest.fixture
def listed(client: openai.AsyncOpenAI) -> Post:
    async def get(**query: Any) -> list[Any]:
        page: Any = await client.get("/feedback", cast_to=object, options={"params": query})
        return list(page["data"])

    return get


async def test_feedback_is_kept_with_its_trace(
    post: Post, parts: Services, database: Database
) -> None:
    trace = await kept_trace(parts)
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
    tracing = parts.settings.tracing.model_copy(update={"flush_interval_s": 0.4})
    vars(parts)["settings"] = parts.settings.model_copy(update={"tracing": tracing})

    async def written_later() -> None:
        await asyncio.sleep(0.005)
        await parts.database.run(lambda session: session.add(Trace(**RowMaker().values(made))))

    writing = asyncio.create_task(written_later())
    said = await post("/feedback", trace_id=made.id, thumbs="up")
    await writing
    assert said["trace_id"] == made.id


async def test_a_request_is_found_by_each_of_its_ids(post: Post, parts: Services) -> None:
    older = await kept_trace(parts, request_id="req-1")
    newer = await kept_trace(parts, request_id="req-1")
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
    assert feedback_rows(database) == []


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
    trace = await kept_trace(parts)
    first = await post("/feedback", trace_id=trace, thumbs="up", user="ann")
    again = await post("/feedback", trace_id=trace, correction="Because.", user="ann")
    assert again["id"] == first["id"]
    assert (again["thumbs"], again["correction"]) == ("up", "Because.")
    back = await post("/feedback", trace_id=trace, thumbs=None, user="ann")
    assert (back["thumbs"], back["correction"]) == (None, "Because.")
    assert len(feedback_rows(database)) == 1
    with pytest.raises(openai.BadRequestError, match="Nothing would be left"):
        await post("/feedback", trace_id=trace, correction=None, user="ann")
    assert feedback_rows(database)[0].correction == "Because."


async def test_another_user_or_name_or_trace_is_other_feedback(
    post: Post, parts: Services, database: Database
) -> None:
    trace, other = await kept_trace(parts), await kept_trace(parts)
    for body in (
        {"trace_id": trace},
        {"trace_id": trace, "user": "ann"},
        {"trace_id": trace, "user": "bob"},
        {"trace_id": trace, "name": "tone"},
        {"trace_id": other},
    ):
        await post("/feedback", **body, thumbs="up")
    assert len(feedback_rows(database)) == 5


async def test_the_same_at_once_is_one(post: Post, parts: Services, database: Database) -> None:
    trace = await kept_trace(parts)
    said = await asyncio.gather(
        *(post("/feedback", trace_id=trace, score=n / 10) for n in range(6))
    )
    assert len({one["id"] for one in said}) == 1
    assert len(feedback_rows(database)) == 1


async def test_a_review_holds_until_the_feedback_changes(post: Post, parts: Services) -> None:
    trace = await kept_trace(parts)
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
    said = await post("/feedback", trace_id=await kept_trace(parts), thumbs="up")
    path = f"/feedback/{said['id']}/review"
    with pytest.raises(openai.ConflictError, match="has changed"):
        await post(path, review="accepted", updated_at=said["updated_at"] - 1)
    assert feedback_rows(database)[0].review == "pending"
    done = await post(path, review="rejected", updated_at=said["updated_at"])
    assert done["review"] == "rejected"


async def test_feedback_is_retrieved_and_forgotten(
    client: openai.AsyncOpenAI, post: Post, parts: Services
) -> None:
    said = await post("/feedback", trace_id=await kept_trace(parts), thumbs="up")
    path = f"/feedback/{said['id']}"
    assert await client.get(path, cast_to=object) == said
    gone: Any = await client.delete(path, cast_to=object)
    assert gone == {"id": said["id"], "object": "feedback", "deleted": True}
    for call in (client.get(path, cast_to=object), client.delete(path, cast_to=object)):
        with pytest.raises(openai.NotFoundError, match="No such feedback"):
            await call


async def test_a_list_is_narrowed_by_each_filter(post: Post, listed: Post, parts: Services) -> None:
    one = await kept_trace(
        parts, model="ft", alias="assistant", prompt_version="p@1", experiment_id="exp_1"
    )
    two = await kept_trace(parts)
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
    trace = await kept_trace(parts)
    await post("/feedback", trace_id=trace, thumbs="up")
    with database.session() as session:
        session.delete(session.get_one(Trace, trace))
    (found,) = await listed(**{"include[]": "trace"})
    assert (found["trace_id"], found["trace"]) == (trace, None)
