"""A seeded few hundred hostile requests; `python -m tests.fuzz.http` sends tens of thousands."""

import json
from pathlib import Path
from typing import Any

import pytest

from tests.fuzz.attempts import Answer, Attempt
from tests.fuzz.http import Outcome, fuzz_gateway
from tests.fuzz.judging import Judge

REQUESTS = 1500
ASKED = Attempt("GET /v1/files", "GET", b"/v1/files")
DOCUMENT: dict[str, Any] = {"paths": {"/v1/files": {"get": {"responses": {"200": {}, "4XX": {}}}}}}


async def test_no_route_fails_hangs_or_tells_what_is_inside(tmp_path: Path) -> None:
    outcome = Outcome(7)
    await fuzz_gateway(outcome, REQUESTS, tmp_path, drawn_share=0.1)
    assert not outcome.faults, "\n".join(map(str, outcome.faults[:5]))
    assert outcome.requests == REQUESTS
    assert len(outcome.succeeded) > 40, "the requests stopped at the door"


def answer(status: int, body: object, kind: bytes = b"application/json", s: float = 0.1) -> Answer:
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    return Answer(status, ((b"content-type", kind),), data, s)


def error(message: str) -> dict[str, object]:
    return {"error": {"message": message, "type": "t", "param": None, "code": None}}


@pytest.mark.parametrize(
    ("given", "kinds"),
    [
        (answer(200, {"data": []}), []),
        (answer(404, error("No such file.")), []),
        (answer(500, error("Failed.")), ["5xx", "undocumented status"]),
        (answer(200, {}, s=60.0), ["hang"]),
        (answer(400, {"detail": "no"}), ["no error body"]),
        (answer(400, b"Bad", b"text/plain"), ["no error body"]),
        (answer(201, {}), ["undocumented status"]),
        (answer(400, error("File \"/usr/lib/x.py\", line 3")), ["leak", "leak"]),
        (answer(400, error("in deployments.gateway.app")), ["leak"]),
        (answer(400, error("SELECT id FROM files")), ["leak"]),
        (answer(200, {"text": "root:x:0:0"}), ["leak"]),
        (answer(200, {"text": "at /secret/folder"}), ["leak"]),
        (Answer(0, (), b"", 0.1), ["silence"]),
        (Answer(0, (), b"", 0.1, crash="ValueError: x"), ["crash"]),
    ],
)  # fmt: skip
def test_the_judge_sees_what_no_answer_may_be(given: Answer, kinds: list[str]) -> None:
    judge = Judge(DOCUMENT, slow_s=5.0, secrets=("/secret/folder",))
    assert [fault.kind for fault in judge.faults(ASKED, given)] == kinds


def test_what_the_client_sent_itself_is_no_leak() -> None:
    judge = Judge(DOCUMENT, slow_s=5.0, secrets=())
    asked = Attempt("x", "GET", b"/v1/files?q=/etc/x", chunks=(b"SELECT a FROM b",))
    assert judge.faults(asked, answer(400, error("No: SELECT a FROM b"))) == []


def test_a_time_out_that_the_client_asked_for_is_no_fault() -> None:
    judge = Judge(DOCUMENT, slow_s=5.0, secrets=())
    late = answer(504, error("Late."))
    asked = Attempt("x", "GET", b"/v1/files").with_header(b"x-request-timeout", b"1e-9")
    assert judge.faults(asked, late) == []
    assert [fault.kind for fault in judge.faults(ASKED, late)] == ["5xx", "undocumented status"]


@pytest.mark.parametrize(
    ("method", "headers", "is_http"),
    [
        ("POST", ((b"content-length", b"2"),), True),
        ("POST", ((b"transfer-encoding", b"chunked"),), True),
        ("GET", (), True),
        ("FOO", (), False),
        ("POST", ((b"content-length", b"{{7*7}}"),), False),
        ("POST", ((b"content-length", b"2"), (b"transfer-encoding", b"chunked")), False),
    ],
)
def test_a_server_may_refuse_what_is_no_http_in_its_own_words(
    method: str, headers: tuple[tuple[bytes, bytes], ...], is_http: bool
) -> None:
    attempt = Attempt("x", method, b"/v1/files", headers, (b"{}",))
    judge = Judge(DOCUMENT, slow_s=5.0, secrets=(), behind_server=True)
    assert bool(judge.faults(attempt, answer(400, b"Bad", b"text/plain"))) is is_http
    assert judge.faults(attempt, answer(500, b"Bad", b"text/plain"))
    within = Judge(DOCUMENT, slow_s=5.0, secrets=())
    assert within.faults(attempt, answer(400, b"Bad", b"text/plain"))
