"""An experiment on real traffic: sticky users, an arm that breaks, an arm that wins."""

import io
import itertools
import time
from collections import Counter
from concurrent.futures import ThreadPoolExecutor
from typing import Any, Final

import openai
import pytest

pytestmark = pytest.mark.end_to_end

ALIAS: Final = "helpdesk"
MODEL: Final = "smollm2-135m-instruct"
_TIMEOUT_S: Final = 240
_ASKERS: Final = 4
_PLACES: Final = ("harbour", "archive", "library", "school", "museum", "theatre", "bakery", "mill")
SETTINGS: Final = {
    # Fewer passages are fewer tokens: a difference that is there for certain.
    "metric": {"name": "trace:tokens", "high": 1000, "wait_s": 5.0},
    "min_effect": 20,
}


@pytest.fixture(scope="module")
def town(client: openai.OpenAI) -> str:
    """A store of what some places are open for."""
    store = client.vector_stores.create(name="town").id
    for place in _PLACES:
        text = f"The {place} is open from Monday to Thursday. The {place} closes at noon. " * 3
        attached = client.vector_stores.files.upload_and_poll(
            vector_store_id=store,
            file=(f"{place}.txt", io.BytesIO(text.encode())),
            poll_interval_ms=200,
        )
        assert attached.status == "completed", attached.last_error
    client.post("/aliases", body={"name": ALIAS, "target": MODEL}, cast_to=object)
    return store


def ask(client: openai.OpenAI, store: str, user: str) -> tuple[str | None, str]:
    """The arm that answered, and the trace's id."""
    raw = client.chat.completions.with_raw_response.create(
        model=ALIAS,
        messages=[{"role": "user", "content": "When does the library close?"}],
        user=user,
        max_tokens=4,
        extra_body={"file_search": {"vector_store_ids": [store]}},
    )
    return raw.headers.get("x-everloop-arm"), raw.headers["x-trace-id"]


def read(client: openai.OpenAI, path: str) -> Any:
    return client.get(path, cast_to=object)


def test_an_arm_that_refuses_is_stopped_and_the_other_wins(
    client: openai.OpenAI, town: str
) -> None:
    arms = [
        {"name": "control"},
        {"name": "short", "retrieval": {"max_num_results": 1}},
        {"name": "blind", "retrieval": {"mode": "dense", "score_threshold": 1.0}},
    ]
    body = {"alias": ALIAS, "arms": arms, "settings": SETTINGS, "start": True}
    made: Any = client.post("/experiments", body=body, cast_to=object)
    path = f"/experiments/{made['id']}"

    first = {user: ask(client, town, user)[0] for user in ("ann", "ben", "eve", "ida")}
    again = {user: ask(client, town, user)[0] for user in first}
    assert first == again

    asked: Counter[str | None] = Counter()
    ends = time.monotonic() + _TIMEOUT_S
    users = (f"user {number}" for number in itertools.count())
    with ThreadPoolExecutor(_ASKERS) as askers:
        found = read(client, path)
        while found["status"] == "running":
            assert time.monotonic() < ends, found["report"]
            batch = list(itertools.islice(users, _ASKERS))
            for arm, _ in askers.map(lambda user: ask(client, town, user), batch):
                asked[arm] += 1
            found = read(client, path)

    assert found["stopped_arms"]["blind"]["by"] == "guardrail"
    assert found["stopped_arms"]["blind"]["fault"] == "refused"
    assert asked["blind"] < 50
    assert (found["decision"]["outcome"], found["decision"]["arm"]) == ("winner", "short")
    told = [event["type"] for event in read(client, f"{path}/events?order=asc")["data"]]
    assert told[:2] == ["created", "started"]
    assert told.count("arm_stopped") == 1

    moved: Any = client.post(f"{path}/promote", body={}, cast_to=object)
    assert moved["serving"]["retrieval"]["max_num_results"] == 1
    arm, trace = ask(client, town, "ann")
    assert arm is None
    passages = read(client, f"/traces/{trace}")["passages"]
    assert len(passages) == 1
