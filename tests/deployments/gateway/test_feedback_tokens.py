"""Feedback of end users, who hold a token and nothing else."""

import httpx2
import openai
import pytest

from cluster.database import Database
from cluster.secret import installation_secret
from cluster.settings import FeedbackSettings, Settings
from deployments.feedback.tokens import FeedbackTokens, TokenGrant
from deployments.gateway.app import create_app
from deployments.gateway.services import Services
from deployments.gateway.users import user_digest
from tests.fixtures.feedback import Post, feedback_rows, kept_trace, post

__all__ = ["post"]


@pytest.fixture
def settings(settings: Settings) -> Settings:
    """With a page of another origin."""
    allowed = FeedbackSettings(allowed_origins=("https://shop.example",))
    return settings.model_copy(update={"feedback": allowed})


async def test_an_end_user_needs_the_token_alone(
    post: Post, http: httpx2.AsyncClient, parts: Services, database: Database
) -> None:
    trace = await kept_trace(parts)
    made = await post("/feedback/tokens", trace_id=trace, allow=["thumbs"], user="ann")
    assert (made["trace_ids"], made["allow"]) == ([trace], ["thumbs"])
    bearer = {"Authorization": f"Bearer {made['token']}"}
    path = "/v1/feedback/end-user"
    first = await http.post(path, json={"thumbs": "down"}, headers=bearer)
    again = await http.post(path, json={"thumbs": "up"}, headers=bearer)
    assert first.status_code == again.status_code == 200
    (row,) = feedback_rows(database)
    assert (row.trace_id, row.source, row.thumbs) == (trace, "end_user", "up")
    assert row.user_id == user_digest({"user": "ann"}, None)
    refused = await http.post(path, json={"comment": "x"}, headers=bearer)
    assert (refused.status_code, refused.json()["error"]["param"]) == (403, "comment")
    other = await http.post(path, json={"thumbs": "up", "trace_id": "trace_x"}, headers=bearer)
    assert (other.status_code, other.json()["error"]["param"]) == (403, "trace_id")


@pytest.mark.parametrize(
    ("header", "code"),
    [
        ("Basic eA==", "missing_token"),
        ("Bearer ", "missing_token"),
        ("Bearer fbt_forged.x", "invalid_token"),
        (None, "missing_token"),
    ],
)
async def test_without_a_token_of_ours_nothing_is_kept_and_no_body_is_read(
    http: httpx2.AsyncClient, database: Database, header: str | None, code: str
) -> None:
    headers = {} if header is None else {"Authorization": header}
    answer = await http.post("/v1/feedback/end-user", content=b"\xff not JSON", headers=headers)
    assert answer.status_code == 401
    assert answer.json()["error"]["code"] == code
    assert feedback_rows(database) == []


async def test_a_token_acts_for_its_project(
    http: httpx2.AsyncClient, parts: Services, database: Database, settings: Settings
) -> None:
    trace = await kept_trace(parts, project_id="proj_other")
    grant = TokenGrant("proj_other", (trace,), "feedback", ("thumbs",), 2**40)
    token = FeedbackTokens(installation_secret(settings)).sign(grant)
    headers = {"Authorization": f"Bearer {token}"}
    answer = await http.post("/v1/feedback/end-user", json={"thumbs": "up"}, headers=headers)
    assert answer.status_code == 200, answer.text
    assert [row.project_id for row in feedback_rows(database)] == ["proj_other"]


async def test_a_token_is_for_requests_there_are_and_for_a_bounded_time(
    post: Post, parts: Services, settings: Settings
) -> None:
    with pytest.raises(openai.NotFoundError):
        await post("/feedback/tokens", trace_id="trace_x")
    traces = [await kept_trace(parts), await kept_trace(parts)]
    most = settings.feedback.token_ttl_s
    with pytest.raises(openai.BadRequestError, match="token_ttl_s"):
        await post("/feedback/tokens", trace_ids=traces, expires_in=most + 1)
    with pytest.raises(openai.BadRequestError, match="Exactly one of trace_ids"):
        await post("/feedback/tokens", trace_ids=traces, trace_id=traces[0])
    made = await post("/feedback/tokens", trace_ids=[*traces, traces[0]], expires_in=60)
    longest = await post("/feedback/tokens", trace_id=traces[0])
    assert made["trace_ids"] == traces
    assert longest["expires_at"] - made["expires_at"] >= most - 60


async def test_a_secret_that_is_too_short_is_told(
    post: Post, parts: Services, monkeypatch: pytest.MonkeyPatch
) -> None:
    trace = await kept_trace(parts)
    monkeypatch.setenv("EVERLOOP_SECRET", "short")
    with pytest.raises(openai.InternalServerError, match="5 characters"):
        await post("/feedback/tokens", trace_id=trace)
    with pytest.raises(openai.InternalServerError, match="5 characters") as refused:
        await post("/feedback/end-user", thumbs="up")
    assert int(refused.value.response.headers["retry-after"]) > 0


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
    assert elsewhere.status_code == 403
    assert "access-control-allow-origin" not in elsewhere.headers


async def test_by_default_no_other_origin_may(parts: Services, settings: Settings) -> None:
    closed = settings.model_copy(update={"feedback": FeedbackSettings()})
    app = create_app(Services(**{**vars(parts), "settings": closed}))
    transport = httpx2.ASGITransport(app=app)
    async with httpx2.AsyncClient(transport=transport, base_url="http://everloop") as http:
        answer = await http.options("/v1/feedback/end-user", headers={"Origin": "https://a.b"})
    assert answer.status_code == 403
    assert "access-control-allow-origin" not in answer.headers
