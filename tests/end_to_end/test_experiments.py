"""An experiment on real traffic: sticky users, an arm that breaks, an arm that wins."""

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
    # More passages are more tokens: a difference that is there for certain. Answers of one passage
    # and refusals count as `low`, so the arm that refuses neither wins nor loses by it.
    "metric": {
        "name": "trace:tokens",
        "direction": "higher",
        "low": 100,
        "high": 260,
        "wait_s": 5.0,
    },
    "min_effect": 20,
    "guardrail_alpha": 0.05,
}


@pytest.fixture(scope="module")
def town(client: openai.OpenAI) -> str:
    """A store of what some places are open for."""
    store = client.vector_stores.create(name="town").id
    texts = (
        (place, f"The {place} is open from Monday to Thursday. The {place} closes at noon.")
        for place in _PLACES
    )
    files = [
        client.files.create(file=(f"{place}.txt", text.encode()), purpose="assistants").id
        for place, text in texts
    ]
    batch = client.vector_stores.file_batches.create_and_poll(
        store, file_ids=files, poll_interval_ms=200
    )
    assert batch.file_counts.completed == len(files), batch.file_counts
    client.post("/aliases", body={"name": ALIAS, "target": MODEL}, cast_to=object)
    one = {
        "target": MODEL,
        "serving": {"retrieval": {"max_num_results": 1}},
        "override": True,
        "reason": "Then an arm can have more.",
    }
    client.post(f"/aliases/{ALIAS}/promote", body=one, cast_to=object)
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
        {"name": "long", "retrieval": {"max_num_results": 4}},
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
    assert (found["decision"]["outcome"], found["decision"]["arm"]) == ("winner", "long")
    told = [event["type"] for event in read(client, f"{path}/events?order=asc")["data"]]
    assert told[:2] == ["created", "started"]
    assert told.count("arm_stopped") == 1

    moved: Any = client.post(f"{path}/promote", body={}, cast_to=object)
    assert moved["serving"]["retrieval"]["max_num_results"] == 4
    arm, trace = ask(client, town, "ann")
    assert arm is None
    passages = read(client, f"/traces/{trace}")["passages"]
    assert len(passages) > 1
