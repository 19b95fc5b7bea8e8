"""Tokens in the bytes of a stream."""

import json
from typing import Any

import pytest

from deployments.model.messages import ModelCall, Sent, Usage
from deployments.model.token_events import TokenReader, tells_tokens, token_ids, with_created

TRICKY = 'he said ,"token_ids":[9],"created":5 and "finish_reason":"stop"'


def event(*tokens: int, content: str = "x", **more: Any) -> bytes:
    """An event as vLLM writes it."""
    choice = {"index": 0, "delta": {"content": content}, "token_ids": list(tokens), **more}
    body = {"id": "chatcmpl-1", "created": 1234, "choices": [choice]}
    return f"data: {json.dumps(body, separators=(',', ':'))}\n\n".encode()


OPENING = (
    b'data: {"id":"chatcmpl-1","created":1234,"choices":[{"index":0,"delta":{"role":"assistant"}}],'
    b'"prompt_token_ids":[7,8,9]}\n\n'
)


@pytest.mark.parametrize("tokens", [(), (1,), (1, 22, 333)])
def test_tokens_are_read_in_order(tokens: tuple[int, ...]) -> None:
    assert tells_tokens(event(*tokens))
    assert token_ids(event(*tokens)) == tokens
    assert token_ids(event(*tokens) + event(4)) == (*tokens, 4)


def test_those_of_the_prompt_are_not_the_answers() -> None:
    assert not tells_tokens(OPENING)
    assert token_ids(OPENING) == ()


def test_what_a_model_says_is_not_taken_for_a_field() -> None:
    said = event(1, content=TRICKY)
    part = TokenReader(ModelCall("chat", {}, "r")).part(said, None)
    assert (part.token_ids, part.created, part.finished) == ((1,), 1234, False)
    assert json.loads(part.data[6:])["choices"][0]["delta"]["content"] == TRICKY
    assert json.loads(with_created(said, 7)[6:])["created"] == 7


def test_a_client_that_did_not_ask_sees_no_tokens_of_answer_or_prompt() -> None:
    part = TokenReader(ModelCall("chat", {}, "r")).part(OPENING + event(1, 2), Usage(3, 2))
    assert b"token_ids" not in part.data
    assert (part.token_ids, part.usage) == ((1, 2), Usage(3, 2))
    for line in part.data.decode().rstrip().split("\n\n"):
        assert json.loads(line[6:])["created"] == 1234


def test_a_client_that_asked_sees_the_bytes_as_they_are() -> None:
    asked = ModelCall("chat", {"return_token_ids": True}, "r")
    assert TokenReader(asked).part(OPENING + event(1), None).data == OPENING + event(1)


def test_the_end_is_seen() -> None:
    part = TokenReader(ModelCall("chat", {}, "r")).part(event(1, finish_reason="length"), None)
    assert part.finished


def test_a_resumed_answer_keeps_its_time() -> None:
    resumed = ModelCall("chat", {}, "r", resume=Sent((1,), 99))
    assert TokenReader(resumed).part(b"data: [DONE]\n\n", None).created == 99
