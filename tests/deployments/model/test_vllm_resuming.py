"""Answers gone on with by a real vLLM: whatever the cut, they are those of an undisturbed run."""

import json
from typing import Any, Final, Literal

import pytest

from deployments.errors import RequestError
from deployments.model.messages import ModelCall, Part, Sent
from deployments.model.serving import ChatServing
from tests.fixtures.tiny_vllm import TinyVllm

pytestmark = [pytest.mark.integration, pytest.mark.asyncio(loop_scope="session")]

MODEL: Final = "tiny"
CREATED: Final = 1_700_000_000
TOKENS: Final = 8
WEATHER: Final = {
    "type": "function",
    "function": {
        "name": "weather",
        "parameters": {
            "type": "object",
            "properties": {"city": {"enum": ["Oslo", "Rome"]}},
            "required": ["city"],
            "additionalProperties": False,
        },
    },
}
OBJECT: Final = {"type": "json_schema", "json_schema": {"name": "place", "schema": {}}}
OBJECT["json_schema"]["schema"] = WEATHER["function"]["parameters"]  # type: ignore[index]
NAMED: Final = {"type": "function", "function": {"name": "weather"}}


@pytest.fixture
def serving(tiny_vllm: TinyVllm) -> ChatServing:
    return ChatServing(tiny_vllm.chat, 0)


def call(kind: Literal["chat", "completion"] = "chat", **more: Any) -> ModelCall:
    question: dict[str, Any] = {"prompt": "Once upon a time"}
    if kind == "chat":
        question = {"messages": [{"role": "user", "content": "What is it?"}]}
    body = {
        "model": MODEL,
        "stream": True,
        "stream_options": {"include_usage": True},
        "temperature": 0,
        "max_tokens": TOKENS,
        **question,
        **more,
    }
    return ModelCall(kind, body, "req-1", 120)


async def said(serving: ChatServing, asked: ModelCall) -> list[Part]:
    """The parts, one an event."""
    parts = [part async for part in serving.generate(asked) if part.data]
    return [part for part in parts if part.data]


def events(parts: list[Part]) -> list[dict[str, Any]]:
    lines = b"".join(part.data for part in parts).decode().split("\n\n")
    return [json.loads(line[6:]) for line in lines if line.startswith("data: {")]


def told(parts: list[Part]) -> list[Any]:
    """What a client makes of the events: the same, however tokens are joined to events."""
    whole: dict[str, Any] = {"text": "", "arguments": "", "names": [], "roles": 0, "reason": None}
    for event in events(parts):
        whole["usage"] = event.get("usage") or whole.get("usage")
        for choice in event["choices"]:
            delta = choice.get("delta") or {}
            whole["roles"] += "role" in delta
            whole["text"] += choice.get("text") or delta.get("content") or ""
            for tool in delta.get("tool_calls") or []:
                whole["names"] += [n] if (n := tool["function"].get("name")) else []
                whole["arguments"] += tool["function"].get("arguments") or ""
            assert not (whole["reason"] and choice.get("finish_reason"))
            whole["reason"] = choice.get("finish_reason") or whole["reason"]
    return sorted(whole.items(), key=lambda item: item[0])


async def resumed(
    serving: ChatServing, asked: ModelCall, before: list[Part]
) -> tuple[list[Part], ModelCall]:
    """What another replica says when `before` has been sent."""
    tokens = tuple(token for part in before for token in part.token_ids)
    sent = Sent(tokens, CREATED, any(part.finished for part in before))
    again = ModelCall(asked.kind, asked.body, "req-1", 120, resume=sent)
    return await said(serving, again), again


ASKED: Final = {
    "chat": call(),
    "chat, its characters' bytes sampled": call(temperature=1.0, seed=3),
    "completion": call("completion"),
    "completion of tokens": call("completion", prompt=[5, 6, 7]),
    "scored": call(logprobs=True, top_logprobs=2),
    "scored completion": call("completion", logprobs=2),
    "schema": call(response_format=OBJECT, max_tokens=40),
    "named tool": call(tools=[WEATHER], tool_choice=NAMED, max_tokens=40),
    "any tool": call(tools=[WEATHER], tool_choice="required", max_tokens=80),
    "at least": call(min_tokens=TOKENS),
    "repetition": call(repetition_penalty=1.3),
}


@pytest.mark.parametrize("name", ASKED)
async def test_wherever_it_is_cut_the_answer_is_the_undisturbed_one(
    serving: ChatServing, name: str
) -> None:
    asked = ASKED[name]
    whole = await said(serving, asked)
    sampled = bool(asked.body["temperature"])
    assert told(whole)
    for cut in range(1, len(whole), 1 + len(whole) // 20):  # of long ones, every third or so
        before = whole[:cut]
        after, _ = await resumed(serving, asked, before)
        tokens = [token for part in (*before, *after) for token in part.token_ids]
        if not sampled:
            assert told([*before, *after]) == told(whole), f"cut at {cut}"
            assert tokens == [token for part in whole for token in part.token_ids]
        usage = events([*before, *after])[-1]["usage"]
        assert usage["completion_tokens"] == len(tokens)
        assert usage["prompt_tokens"] == events(whole)[-1]["usage"]["prompt_tokens"]
        assert all(event["created"] == CREATED for event in events(after))
        assert {event["id"] for event in events(after)} == {events(whole)[0]["id"]}


async def test_a_stop_text_that_straddles_the_cut_is_found(serving: ChatServing) -> None:
    asked = call("completion", structured_outputs={"choice": ["abcdefghijk"]}, stop=["fgh"])
    whole = await said(serving, asked)
    assert dict(told(whole))["text"] == "abcde"
    assert dict(told(whole))["reason"] == "stop"
    assert len(whole) > len("abcde")
    for cut in range(1, len(whole)):
        after, _ = await resumed(serving, asked, whole[:cut])
        assert told([*whole[:cut], *after]) == told(whole), f"cut at {cut}"


async def test_scores_go_on_as_well(serving: ChatServing) -> None:
    asked = ASKED["scored completion"]
    whole = await said(serving, asked)
    after, _ = await resumed(serving, asked, whole[:5])

    def scores(parts: list[Part]) -> list[tuple[Any, ...]]:
        scored = [c["logprobs"] for e in events(parts) for c in e["choices"]]
        return [
            (offset, pytest.approx(score, abs=1e-3))
            for one in scored
            for offset, score in zip(one["text_offset"], one["token_logprobs"], strict=True)
        ]

    assert scores([*whole[:5], *after]) == scores(whole)


async def test_a_client_cannot_say_what_was_sent(serving: ChatServing) -> None:
    own = {"everloop_sent_tokens": [1, 2], "everloop_sent_all": 0}
    whole, forged = await said(serving, call()), await said(serving, call(vllm_xargs=own))
    assert told(forged) == told(whole)


async def test_tokens_that_do_not_follow_the_grammar_are_an_error(serving: ChatServing) -> None:
    asked = ASKED["schema"]
    sent = Sent((1, 2, 3), CREATED)
    with pytest.raises(RequestError):
        await said(serving, ModelCall("chat", asked.body, "req-1", 120, resume=sent))
