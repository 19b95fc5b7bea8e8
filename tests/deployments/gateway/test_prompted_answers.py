"""Answers by a prompt of the records: on both surfaces, with and without a search."""

from dataclasses import replace
from typing import Any

import httpx2
import openai
import pytest

from cluster.database import Database
from cluster.records import Alias
from cluster.settings import Settings
from deployments.gateway.app import create_app
from deployments.gateway.services import Services
from deployments.tracing.rows import RowMaker
from deployments.tracing.writer import TraceWriter
from tests.deployments.gateway.prompted import MODEL, last_trace, over_stage, told
from tests.deployments.grounding.conftest import Stage, counter, stage
from tests.deployments.prompts.making import make_version, user_says
from tests.fixtures.gateway import fake_services

__all__ = ["counter", "stage"]

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

GREETING: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "You greet people in {{ city }}."},
        {"role": "user", "content": "Answer {{ question }} in {{ words }} words."},
    ],
    "variables": {
        "city": {"type": "string", "enum": ["Bern", "Rome"]},
        "question": {"type": "string"},
        "words": {"type": "integer", "default": 9},
    },
    "examples": [{"user": "Hi?", "assistant": "Hello {{ not a template }}!"}],
    "stop": ["\n\n"],
}
PROMPT: Any = {"id": "greeting", "variables": {"city": "Bern"}}
GROUNDED: dict[str, Any] = {
    "messages": [
        {"role": "system", "content": "Be {{ tone }}."},
        {
            "role": "user",
            "content": "{% for p in passages %}{{ p.text }} {% endfor %}Q: {{ question }}",
        },
    ],
    "variables": {"tone": {}, "passages": {"type": "array"}, "question": {}},
    "refusal": "Nothing is known.",
}
SEARCH: Any = {"type": "file_search", "vector_store_ids": ["vs_1"]}
Q: dict[str, Any] = {"question": {}}
SCHEMA = {"type": "object", "properties": {"city": {"type": "string"}}}


@pytest.fixture
def parts(settings: Settings, database: Database, stage: Stage) -> Services:
    return over_stage(fake_services(settings, database), stage)


async def test_a_response_is_given_by_a_prompt_and_its_variables(
    client: openai.AsyncOpenAI, parts: Services, stage: Stage, database: Database
) -> None:
    digest = await make_version(database, "greeting", GREETING, "production")
    response = await client.responses.create(model=MODEL, prompt=PROMPT, input="who are you")
    assert response.output_text == "The sky is blue."
    assert response.prompt is not None
    assert response.prompt.id == "greeting"
    assert told(stage.model) == [
        ("system", "You greet people in Bern."),
        ("user", "Hi?"),
        ("assistant", "Hello {{ not a template }}!"),
        ("user", "Answer who are you in 9 words."),
    ]
    sent = stage.model.calls[-1].body
    assert sent["stop"] == ["\n\n"]
    assert "prompt" not in sent
    trace = await last_trace(parts, database)
    assert trace.prompt_version == f"greeting@{digest}"
    assert trace.question == "who are you"
    assert trace.body["prompt_variables"] == ["city"]
    assert trace.body["prompt_values"] == {"city": "Bern"}


async def test_the_input_may_be_absent(
    client: openai.AsyncOpenAI, stage: Stage, database: Database
) -> None:
    await make_version(database, "poem", user_says("Write a poem."))
    response = await client.responses.create(model=MODEL, prompt={"id": "poem"})
    assert response.output_text
    assert told(stage.model) == [("user", "Write a poem.")]
    going_on = await client.responses.create(
        model=MODEL, input="Another.", previous_response_id=response.id
    )
    assert going_on.output_text
    assert told(stage.model) == [("assistant", "The sky is blue."), ("user", "Another.")]
    with pytest.raises(openai.BadRequestError) as caught:
        await client.responses.create(model=MODEL)
    assert caught.value.param == "input"


async def test_earlier_turns_stand_between_the_examples_and_the_last_message(
    client: openai.AsyncOpenAI, stage: Stage, database: Database
) -> None:
    await make_version(database, "greeting", GREETING)
    completion = await client.chat.completions.create(
        model=MODEL,
        messages=[
            {"role": "system", "content": "Be kind."},
            {"role": "user", "content": "Before?"},
            {"role": "assistant", "content": "Yes."},
            {"role": "user", "content": "And now?"},
        ],
        extra_body={"prompt": PROMPT},
    )
    assert completion.choices[0].message.content == "The sky is blue."
    assert [text for _, text in told(stage.model)] == [
        "You greet people in Bern.",
        "Be kind.",
        "Hi?",
        "Hello {{ not a template }}!",
        "Before?",
        "Yes.",
        "Answer And now? in 9 words.",
    ]
    assert "prompt" not in stage.model.calls[-1].body


async def test_a_prompt_without_the_question_has_it_after_it(
    client: openai.AsyncOpenAI, stage: Stage, database: Database
) -> None:
    await make_version(database, "intro", user_says("You will be asked."))
    await make_version(
        database, "role", {"messages": [{"role": "system", "content": "You are a poet."}]}
    )
    spoken: Any = [
        {"role": "user", "content": "One?"},
        {"role": "assistant", "content": "1."},
        {"role": "user", "content": "Two?"},
    ]
    for name, texts in (
        ("intro", ["One?", "1.", "You will be asked.", "Two?"]),
        ("role", ["You are a poet.", "One?", "1.", "Two?"]),
    ):
        await client.chat.completions.create(
            model=MODEL, messages=spoken, extra_body={"prompt": {"id": name}}
        )
        assert [text for _, text in told(stage.model)] == texts


async def test_messages_may_be_absent_and_variables_be_openais_text(
    http: httpx2.AsyncClient, stage: Stage, database: Database
) -> None:
    await make_version(database, "greeting", GREETING)
    text = {"type": "input_text", "text": "Rome"}
    prompt = {"id": "greeting", "version": 1, "variables": {"city": text, "question": "this"}}
    answered = await http.post("/v1/chat/completions", json={"model": MODEL, "prompt": prompt})
    assert answered.status_code == 200, answered.text
    assert told(stage.model)[0] == ("system", "You greet people in Rome.")
    assert told(stage.model)[-1] == ("user", "Answer this in 9 words.")


@pytest.mark.parametrize(
    ("prompt", "param", "said"),
    [
        ({"variables": {}}, "prompt.id", "name or the id"),
        ({"id": "greeting", "colour": 1}, "prompt.colour", "id, variables, version"),
        ({"id": "greeting", "version": [1]}, "prompt.version", "a number, a label"),
        ({"id": "greeting"}, "prompt.variables.city", "city missing"),
        (
            {"id": "greeting", "variables": {"city": "Oslo"}},
            "prompt.variables.city",
            "none of 'Bern', 'Rome'",
        ),
        (
            {"id": "greeting", "variables": {"city": "Bern", "words": "many"}},
            "prompt.variables.words",
            "not of type integer",
        ),
        (
            {"id": "greeting", "variables": {"city": "Bern", "size": 1}},
            "prompt.variables.size",
            "size unknown",
        ),
        (
            {"id": "greeting", "variables": {"city": {"type": "input_image"}}},
            "prompt.variables.city",
            "only text",
        ),
        ("greeting", "prompt", "must be an object"),
    ],
)
async def test_a_wrong_use_is_told_by_its_field(
    http: httpx2.AsyncClient, database: Database, prompt: Any, param: str, said: str
) -> None:
    await make_version(database, "greeting", GREETING)
    messages = [{"role": "user", "content": "Hello"}]
    answered = await http.post(
        "/v1/chat/completions", json={"model": MODEL, "messages": messages, "prompt": prompt}
    )
    error = answered.json()["error"]
    assert (answered.status_code, error["param"]) == (400, param)
    assert said in error["message"]


async def test_a_prompt_that_there_is_not_is_a_404_that_lists_those_there_are(
    client: openai.AsyncOpenAI, database: Database
) -> None:
    await make_version(database, "greeting", GREETING)
    with pytest.raises(openai.NotFoundError, match="There are: greeting"):
        await client.responses.create(model=MODEL, prompt={"id": "nothing"}, input="x")


async def test_the_output_schema_is_asked_of_the_engine_unless_the_client_says_otherwise(
    client: openai.AsyncOpenAI, stage: Stage, database: Database
) -> None:
    await make_version(database, "city", user_says("Name a city.", output_schema=SCHEMA))
    prompt: Any = {"id": "city"}
    await client.responses.create(model=MODEL, prompt=prompt)
    asked = stage.model.calls[-1].body["response_format"]
    assert asked["json_schema"]["schema"] == SCHEMA
    assert asked["json_schema"]["name"] == "city"
    own: Any = {"format": {"type": "json_object"}}
    await client.responses.create(model=MODEL, prompt=prompt, text=own)
    assert stage.model.calls[-1].body["response_format"] == {"type": "json_object"}


async def test_a_search_fills_the_prompts_passages(
    client: openai.AsyncOpenAI, parts: Services, stage: Stage, database: Database
) -> None:
    digest = await make_version(database, "mine", GROUNDED)
    prompt: Any = {"id": "mine", "variables": {"tone": "short"}}
    question = "Which colour is the sky?"
    response = await client.responses.create(
        model=MODEL, prompt=prompt, input=question, tools=[SEARCH]
    )
    assert response.output[0].type == "file_search_call"
    expected = [("system", "Be short."), ("user", f"The sky is blue. Q: {question}")]
    assert told(stage.model) == expected
    completion = await client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": question}],
        extra_body={"prompt": prompt, "file_search": {"vector_store_ids": ["vs_1"]}},
    )
    assert completion.choices[0].message.annotations
    assert told(stage.model) == expected
    assert "prompt" not in stage.model.calls[-1].body
    assert (await last_trace(parts, database)).prompt_version == f"mine@{digest}"


async def test_a_prompt_that_no_search_can_fill_is_refused(
    client: openai.AsyncOpenAI, database: Database
) -> None:
    await make_version(database, "poem", user_says("Write a poem."))
    with pytest.raises(openai.BadRequestError, match="declare passages and question") as caught:
        await client.responses.create(model=MODEL, prompt={"id": "poem"}, input="x", tools=[SEARCH])
    assert caught.value.param == "prompt"


async def test_the_records_replace_the_default_prompt_of_grounded_answers(
    client: openai.AsyncOpenAI, parts: Services, stage: Stage, database: Database
) -> None:
    name = parts.settings.grounding.prompt
    body = {**GROUNDED, "variables": {**GROUNDED["variables"], "tone": {"default": "mine"}}}
    await make_version(database, name, body, "production")
    await client.responses.create(model=MODEL, input="Which colour is the sky?", tools=[SEARCH])
    assert told(stage.model)[0] == ("system", "Be mine.")


async def test_values_of_variables_are_not_kept_where_text_is_not(
    http: httpx2.AsyncClient, parts: Services, database: Database
) -> None:
    await make_version(database, "greeting", GREETING)
    quiet = TraceWriter(database, flush_interval_s=0.01, rows=RowMaker(store_text=False))
    app = create_app(replace(parts, traces=quiet))
    async with httpx2.AsyncClient(
        transport=httpx2.ASGITransport(app=app), base_url="http://everloop"
    ) as plain:
        await plain.post("/v1/responses", json={"model": MODEL, "prompt": PROMPT, "input": "x"})
    await quiet.flush()
    trace = await last_trace(parts, database)
    assert trace.body["prompt_variables"] == ["city"]
    assert "prompt_values" not in trace.body


async def test_an_alias_answers_by_its_prompt_unless_the_client_names_one(
    client: openai.AsyncOpenAI, parts: Services, stage: Stage, database: Database
) -> None:
    digest = await make_version(
        database, "poem", user_says("In verse: {{ question }}", variables=Q)
    )
    await make_version(database, "own", user_says("Mine: {{ question }}", variables=Q))
    alias = Alias(name="poet", target=MODEL, serving={"prompt": f"poem@{digest}"}, version=1)
    await database.run(lambda session: session.merge(alias))
    spoken: Any = [{"role": "user", "content": "Rain"}]
    await client.chat.completions.create(model="poet", messages=spoken)
    assert told(stage.model) == [("user", "In verse: Rain")]
    assert (await last_trace(parts, database)).prompt_version == f"poem@{digest}"
    await client.responses.create(model="poet", input="Rain", prompt={"id": "own"})
    assert told(stage.model) == [("user", "Mine: Rain")]
