"""`/v1/files` with purpose `fine-tune`: what cannot be trained on is refused line by line."""

import json
from io import BytesIO
from typing import Any

import httpx2
import openai
import pytest

from deployments.errors import InvalidDataset
from deployments.gateway import parquet_process, training_files
from deployments.gateway.services import Services
from tests.deployments.gateway.test_files import stored_files
from tests.training.data.samples import chat, jsonl, preference, said

CSV = "question;answer;source\nWhere is it?;Here.;a\nAnd that?;There.;b\n"


async def train_on(
    client: openai.AsyncOpenAI, data: bytes, name: str = "train.jsonl", **more: Any
) -> Any:
    """Upload the file; `more` goes beside it."""
    return await client.files.create(file=(name, data), purpose="fine-tune", extra_body=more)


async def test_a_good_file_says_what_it_holds_and_comes_back_as_it_was(
    client: openai.AsyncOpenAI,
) -> None:
    data = jsonl(chat(), chat(said("system"), said("user"), said("assistant", "Hi."))).getvalue()
    made = await train_on(client, data)
    assert made.dataset == {
        "rows": 2,
        "form": "chat",
        "messages": 5,
        "characters": 24,
        "columns": None,
    }
    assert await client.files.retrieve(made.id) == made
    assert (await client.files.list(purpose="fine-tune")).data == [made]
    assert (await client.files.content(made.id)).read() == data


async def test_every_problem_is_listed_by_line_and_nothing_is_kept(
    client: openai.AsyncOpenAI, parts: Services
) -> None:
    rows = jsonl(
        chat(said("robot"), said("assistant")), "not JSON", chat(), preference(), '{"messages": []}'
    )
    with pytest.raises(openai.BadRequestError) as caught:
        await train_on(client, rows.getvalue())
    error: Any = caught.value.body
    assert (error["type"], error["param"]) == ("invalid_request_error", "file")
    assert error["code"] == "invalid_training_file"
    assert {problem["line"] for problem in error["problems"]} == {1, 2, 4, 5}
    assert error["more_problems"] == 0
    assert error["problems"][0]["field"] == "messages[0].role"
    assert (
        f"train.jsonl has {len(error['problems'])} problems: line 1, messages[0].role"
        in (error["message"])
    )
    assert "listed in error.problems" in error["message"]
    assert stored_files(parts) == []
    assert (await client.files.list()).data == []


async def test_a_thousand_problems_are_listed_and_the_others_counted(
    client: openai.AsyncOpenAI,
) -> None:
    with pytest.raises(openai.BadRequestError) as caught:
        await train_on(client, b"[]\n" * 1_200)
    error: Any = caught.value.body
    assert len(error["problems"]) == 1_000
    assert error["more_problems"] == 200
    assert "has 1200 problems" in error["message"]


async def test_an_empty_training_file_is_refused(client: openai.AsyncOpenAI) -> None:
    with pytest.raises(openai.BadRequestError, match="is empty"):
        await train_on(client, b"")


@pytest.mark.parametrize(
    "columns",
    [
        {"prompt": "question", "completion": "answer", "chat": True},
        json.dumps({"prompt": "question", "completion": "answer", "chat": True}),
    ],
)
async def test_a_table_is_read_through_the_columns_that_come_with_it(
    client: openai.AsyncOpenAI, columns: Any
) -> None:
    made = await train_on(client, CSV.encode(), "faq.csv", columns=columns)
    assert (made.dataset["rows"], made.dataset["form"]) == (2, "chat")
    expected = {"prompt": "question", "completion": "answer", "chat": True}
    assert made.dataset["columns"] == expected
    assert (await client.files.retrieve(made.id)) == made


async def test_a_parquet_table_is_read_too(client: openai.AsyncOpenAI) -> None:
    import pyarrow as pa
    from pyarrow.parquet import write_table

    data = BytesIO()
    write_table(pa.table({"q": ["Where?"] * 3, "a": ["Here.", "There.", ""]}), data)
    with pytest.raises(openai.BadRequestError) as caught:
        await train_on(
            client, data.getvalue(), "t.parquet", columns={"prompt": "q", "completion": "a"}
        )
    assert caught.value.body["problems"][0]["line"] == 3  # type: ignore[index]
    made = await train_on(
        client, data.getvalue(), "t.parquet", columns={"prompt": "a", "completion": "q"}
    )
    assert (made.dataset["rows"], made.dataset["form"]) == (3, "completion")


def table() -> bytes:
    """A sound Parquet file."""
    import pyarrow as pa
    from pyarrow.parquet import write_table

    data = BytesIO()
    write_table(pa.table({"prompt": ["Where?"], "completion": ["Here."]}), data)
    return data.getvalue()


async def test_parquet_is_read_outside_the_gateway(
    client: openai.AsyncOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(parquet_process, "_CHILD", ("-c", "import os; os.abort()"))
    with pytest.raises(openai.BadRequestError, match=r"t\.parquet has 1 problem.*reader failed"):
        await train_on(client, table(), "t.parquet")


async def test_parquet_beyond_those_that_may_wait_is_refused(
    client: openai.AsyncOpenAI, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(training_files, "_PLACES", 0)
    with pytest.raises(openai.RateLimitError) as caught:
        await train_on(client.with_options(max_retries=0), table(), "t.parquet")
    assert caught.value.code == "overloaded"
    assert caught.value.response.headers["retry-after"] == "5"


async def test_a_table_without_the_named_columns_is_refused_with_those_it_has(
    client: openai.AsyncOpenAI,
) -> None:
    columns = {"prompt": "question", "completion": "reply"}
    with pytest.raises(openai.BadRequestError, match=r"no column .reply.*answer"):
        await train_on(client, CSV.encode(), "faq.csv", columns=columns)


@pytest.mark.parametrize(
    ("columns", "message"),
    [
        ("question", "must be JSON"),
        ('["question"]', "valid dictionary"),
        ('{"prompt": "question"}', "`completion`"),
        ('{"prompt": "q", "completion": "a", "label": "x"}', "label"),
    ],
)
async def test_wrong_columns_are_refused(
    client: openai.AsyncOpenAI, columns: str, message: str
) -> None:
    with pytest.raises(openai.BadRequestError, match=message) as caught:
        await train_on(client, CSV.encode(), "faq.csv", columns=columns)
    assert caught.value.param == "columns"


async def test_columns_of_another_purpose_are_refused(http: httpx2.AsyncClient) -> None:
    answer = await http.post(
        "/v1/files",
        files={"file": ("a.csv", b"x")},
        data={"purpose": "user_data", "columns": '{"messages": "m"}'},
    )
    assert answer.status_code == 400
    assert answer.json()["error"]["param"] == "columns"


async def test_other_files_are_not_read_and_hold_no_dataset(client: openai.AsyncOpenAI) -> None:
    made: Any = await client.files.create(file=("a.jsonl", b"not JSON"), purpose="user_data")
    assert made.dataset is None


def test_the_refusal_survives_the_way_between_processes() -> None:
    import pickle

    error = InvalidDataset("wrong", [{"line": 1, "field": "", "message": "m"}], 2)
    assert pickle.loads(pickle.dumps(error)).body() == error.body()  # noqa: S301
