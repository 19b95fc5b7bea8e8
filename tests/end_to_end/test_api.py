"""OpenAI's API as the official client sees it: every parameter, every error, nothing changed."""

import base64
import json
import struct
import time
from typing import Any

import httpx
import openai
import pytest

from tests.fixtures.system import System

pytestmark = pytest.mark.end_to_end

MODEL = "smollm2-135m-instruct"
EMBEDDING = "all-minilm-l6-v2"
HELLO: Any = [{"role": "user", "content": "Say hello."}]


def test_models_are_listed_and_retrieved(client: openai.OpenAI) -> None:
    assert {MODEL, EMBEDDING} <= {model.id for model in client.models.list()}
    assert client.models.retrieve(MODEL).id == MODEL
    with pytest.raises(openai.NotFoundError) as caught:
        client.models.retrieve("no-such-model")
    assert caught.value.code == "model_not_found"


def test_a_stream_says_the_same_as_a_plain_answer_and_counts_its_tokens(
    client: openai.OpenAI,
) -> None:
    options: Any = {"model": MODEL, "messages": HELLO, "max_tokens": 12, "temperature": 0}
    plain = client.chat.completions.create(**options)
    chunks = list(
        client.chat.completions.create(
            **options, stream=True, stream_options={"include_usage": True}
        )
    )
    text = "".join(c.choices[0].delta.content or "" for c in chunks if c.choices)
    assert text == plain.choices[0].message.content
    assert chunks[-1].usage == plain.usage
    assert plain.model == MODEL


def test_sampling_parameters_reach_the_engine(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL,
        messages=HELLO,
        max_completion_tokens=4,
        n=2,
        seed=3,
        temperature=0.9,
        top_p=0.9,
        logprobs=True,
        top_logprobs=2,
    )
    again = client.chat.completions.create(
        model=MODEL, messages=HELLO, max_completion_tokens=4, seed=3, temperature=0.9, top_p=0.9
    )
    assert len(answer.choices) == 2
    assert answer.choices[0].logprobs is not None
    assert len(answer.choices[0].logprobs.content or []) == 4
    assert again.choices[0].finish_reason == "length"


def test_stop_ends_the_answer(client: openai.OpenAI) -> None:
    options: Any = {"model": MODEL, "messages": HELLO, "max_tokens": 20, "temperature": 0}
    whole = client.chat.completions.create(**options).choices[0].message.content or ""
    word = whole.split()[1]
    cut = client.chat.completions.create(**options, stop=[word]).choices[0]
    assert cut.finish_reason == "stop"
    assert word not in (cut.message.content or "")


def test_a_json_schema_is_enforced_by_the_engine(client: openai.OpenAI) -> None:
    schema = {
        "type": "object",
        "properties": {
            "city": {"type": "string", "maxLength": 12},
            "visits": {"type": "integer", "minimum": 0, "maximum": 99},
        },
        "required": ["city", "visits"],
        "additionalProperties": False,
    }
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "Tell me about your journey."}],
        max_tokens=80,
        temperature=1,
        seed=5,
        response_format={"type": "json_schema", "json_schema": {"name": "trip", "schema": schema}},
    )
    assert json.loads(answer.choices[0].message.content or "").keys() == {"city", "visits"}


def test_a_required_tool_is_called_with_valid_arguments(client: openai.OpenAI) -> None:
    answer = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": "What is the weather in Oslo?"}],
        max_tokens=80,
        temperature=0,
        tools=[
            {
                "type": "function",
                "function": {
                    "name": "weather",
                    "parameters": {
                        "type": "object",
                        "properties": {"city": {"type": "string", "maxLength": 20}},
                        "required": ["city"],
                        "additionalProperties": False,
                    },
                },
            }
        ],
        tool_choice={"type": "function", "function": {"name": "weather"}},
    )
    call: Any = (answer.choices[0].message.tool_calls or [])[0]
    assert call.function.name == "weather"
    assert json.loads(call.function.arguments).keys() == {"city"}


def test_completions_continue_a_prompt(client: openai.OpenAI) -> None:
    answer = client.completions.create(
        model=MODEL, prompt="The capital of France is", max_tokens=6, temperature=0
    )
    assert "Paris" in answer.choices[0].text


def test_embeddings_come_as_floats_and_as_base64(client: openai.OpenAI) -> None:
    texts = ["a cat on a mat", "ein Bär im Wald"]
    floats = client.embeddings.create(model=EMBEDDING, input=texts, encoding_format="float")
    packed: Any = client.post(
        "/embeddings",
        body={"model": EMBEDDING, "input": texts, "encoding_format": "base64"},
        cast_to=object,
    )
    raw = base64.b64decode(packed["data"][1]["embedding"])
    assert struct.unpack(f"<{len(raw) // 4}f", raw) == pytest.approx(floats.data[1].embedding)
    assert sum(x * x for x in floats.data[0].embedding) == pytest.approx(1, abs=1e-3)
    assert floats.usage.prompt_tokens > 4


def test_rerank_puts_the_answer_first(client: openai.OpenAI) -> None:
    ranked: Any = client.post(
        "/rerank",
        body={
            "query": "When does the office open?",
            "documents": ["Cats sleep a lot.", "The office opens at nine.", "Oslo is in Norway."],
            "top_n": 2,
        },
        cast_to=object,
    )
    assert ranked["results"][0]["index"] == 1
    assert len(ranked["results"]) == 2


def test_files_are_stored_listed_read_and_deleted(client: openai.OpenAI) -> None:
    data = "Zwölf Boxkämpfer 🥊\n".encode()
    made = client.files.create(file=("größe.txt", data), purpose="assistants")
    assert made.bytes == len(data)
    assert client.files.content(made.id).read() == data
    assert made.id in {item.id for item in client.files.list(limit=100)}
    assert client.files.delete(made.id).deleted
    with pytest.raises(openai.NotFoundError):
        client.files.retrieve(made.id)


def test_a_context_overflow_names_both_numbers(client: openai.OpenAI) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        client.chat.completions.create(
            model=MODEL, messages=[{"role": "user", "content": "hello " * 9000}]
        )
    assert caught.value.code == "context_length_exceeded"
    numbers = {
        int(word)
        for word in caught.value.message.replace(",", " ").replace(".", " ").split()
        if word.isdigit()
    }
    assert any(9000 <= number < 9200 for number in numbers), caught.value.message


@pytest.mark.parametrize(
    ("body", "status", "param"),
    [
        ({"model": MODEL, "messages": HELLO, "temperature": 9}, 400, "temperature"),
        ({"model": MODEL, "messages": "hello"}, 400, "messages"),
        ({"model": "nobody", "messages": HELLO}, 404, "model"),
        (
            {"model": MODEL, "messages": HELLO, "file_search": {"vector_store_ids": ["vs_no"]}},
            404,
            None,
        ),
    ],
)
def test_a_wrong_request_is_told_what_is_wrong(
    client: openai.OpenAI, body: dict[str, Any], status: int, param: str | None
) -> None:
    with pytest.raises(openai.APIStatusError) as caught:
        client.post("/chat/completions", body=body, cast_to=object)
    assert caught.value.status_code == status
    assert caught.value.request_id
    if param:
        assert caught.value.param == param


def test_a_body_that_is_not_json_is_415(system: System) -> None:
    answer = httpx.post(
        f"{system.base_url}/chat/completions",
        content=b"a=b",
        headers={"content-type": "text/xml", **system.headers},
    )
    assert answer.status_code == 415
    assert answer.json()["error"]["message"]
    assert answer.headers["x-request-id"]


def test_a_client_that_goes_stops_its_generation(client: openai.OpenAI) -> None:
    """1,500 tokens take over a minute here; the slot is free long before."""
    raw = client.chat.completions.with_raw_response.create(
        model=MODEL, messages=HELLO, max_tokens=1500, extra_body={"ignore_eos": True}, stream=True
    )
    stream = raw.parse()
    for _, _chunk in zip(range(3), stream, strict=False):
        pass
    stream.close()
    trace_id = raw.headers["x-trace-id"]
    deadline = time.monotonic() + 20
    trace: Any = None
    while trace is None and time.monotonic() < deadline:
        try:
            trace = client.get(f"/traces/{trace_id}", cast_to=object)
        except openai.NotFoundError:
            time.sleep(0.2)
    assert trace is not None, "the generation went on"
    assert trace["status"] == 499


def test_a_full_queue_answers_429_and_when_to_come_back(system: System) -> None:
    """Eight run and four wait in the test profile; of twenty-four some must be turned away."""
    import concurrent.futures

    def ask(_: int) -> httpx.Response:
        return crowd.post(
            f"{system.base_url}/chat/completions",
            json={"model": MODEL, "messages": HELLO, "max_tokens": 24, "ignore_eos": True},
        )

    # One client, or the making of twenty-four would take longer than the answers.
    limits = httpx.Limits(max_connections=24)
    with (
        httpx.Client(headers=system.headers, timeout=120, limits=limits) as crowd,
        concurrent.futures.ThreadPoolExecutor(24) as pool,
    ):
        answers = list(pool.map(ask, range(24)))
    by_status = {code: [a for a in answers if a.status_code == code] for code in (200, 429)}
    assert len(by_status[200]) + len(by_status[429]) == 24
    assert len(by_status[200]) >= 8
    assert by_status[429], "nothing was turned away"
    assert int(by_status[429][0].headers["retry-after"]) >= 1
    assert by_status[429][0].json()["error"]["type"] == "rate_limit_error"


def test_operations_routes_answer(system: System) -> None:
    root = system.base_url.removesuffix("/v1")
    assert httpx.get(f"{root}/healthz").status_code == 200
    assert httpx.get(f"{root}/readyz", timeout=30).json()["status"] == "ready"
    assert "everloop" in httpx.get(f"{root}/metrics", timeout=30, headers=system.headers).text
    assert httpx.get(f"{root}/-/routes").status_code == 401
    page = httpx.get(f"{root}/docs", headers=system.headers).text
    assert "https://" not in page, "the page needs the outside"


@pytest.mark.parametrize(
    "header",
    [
        (b"x-request-id", b"\xff\xfe"),
        (b"x-session-id", b"\xff"),
        (b"serve_multiplexed_model_id", b"\xff"),
        (b"x-request-timeout-seconds", b"0.000001"),
        (b"x-request-disconnect-disabled", b"\xff"),
    ],
)
def test_no_header_of_a_client_steers_the_front_or_fails_it(
    system: System, header: tuple[bytes, bytes]
) -> None:
    headers = [header, *((k.encode(), v.encode()) for k, v in system.headers.items())]
    answer = httpx.get(f"{system.base_url}/models", headers=headers, timeout=30)
    assert answer.status_code == 200, answer.text
    assert answer.headers["x-request-id"].isascii()


def test_a_head_without_end_is_refused(system: System) -> None:
    headers = {**system.headers, **{f"x-{number}": "a" * 8000 for number in range(9)}}
    answer = httpx.get(f"{system.base_url}/models", headers=headers, timeout=30)
    assert answer.status_code == 431
    assert answer.json()["error"]["code"] == "headers_too_large"
