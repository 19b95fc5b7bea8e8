"""Documents in, cited answers out: the main job, on real parts, through the `openai` client."""

import concurrent.futures
import io
import shlex
import time
from pathlib import Path
from typing import Any

import openai
import pytest

from tests.end_to_end.documents import encrypted_pdf, pdf, truncated
from tests.fixtures.system import System

pytestmark = pytest.mark.end_to_end

MODEL = "smollm2-135m-instruct"
QUESTION = "What is the access code of the Brennholm lighthouse?"


def upload(client: openai.OpenAI, store: str, name: str, data: bytes, **options: Any) -> Any:
    """Attach `data` to `store` and wait until it is searchable."""
    return client.vector_stores.files.upload_and_poll(
        vector_store_id=store, file=(name, io.BytesIO(data)), poll_interval_ms=200, **options
    )


def ask(client: openai.OpenAI, store: str, question: str = QUESTION) -> Any:
    """Ask with file search and take everything that comes back."""
    return client.responses.create(
        model=MODEL,
        input=question,
        tools=[{"type": "file_search", "vector_store_ids": [store]}],
        max_output_tokens=60,
    )


def citations(response: Any) -> list[Any]:
    """All annotations of all messages."""
    return [
        annotation
        for item in response.output
        if item.type == "message"
        for part in item.content
        for annotation in part.annotations
    ]


def lighthouse(code: str) -> bytes:
    """Three pages; the fact stands on the second only."""
    return pdf(
        "The Brennholm archive keeps the papers of the harbour office since 1904.",
        f"The access code of the Brennholm lighthouse is {code}. "
        "The keeper changes it every spring.",
        "The harbour office is open from Monday to Thursday.",
    )


def test_a_fact_of_an_uploaded_pdf_is_answered_with_its_page(
    client: openai.OpenAI, store: str
) -> None:
    attached = upload(client, store, "lighthouse.pdf", lighthouse("QX-4417"))
    assert attached.status == "completed", attached.last_error

    response = ask(client, store)

    assert "QX-4417" in response.output_text
    cited = citations(response)
    assert cited, "the answer has no citation"
    assert {c.type for c in cited} == {"file_citation"}
    assert {c.file_id for c in cited} == {attached.id}
    assert {c.filename for c in cited} == {"lighthouse.pdf"}
    assert {c.page for c in cited} == {2}


def test_chat_completions_ground_with_the_same_citations(client: openai.OpenAI, store: str) -> None:
    attached = upload(client, store, "lighthouse.pdf", lighthouse("QX-4417"))

    answer: Any = client.chat.completions.create(
        model=MODEL,
        messages=[{"role": "user", "content": QUESTION}],
        max_tokens=60,
        extra_body={"file_search": {"vector_store_ids": [store]}},
    )

    message = answer.choices[0].message
    assert "QX-4417" in message.content
    assert message.annotations[0].file_citation["file_id"] == attached.id
    assert message.annotations[0].file_citation["page"] == 2


def test_a_streamed_response_sends_the_documented_events_in_order(
    client: openai.OpenAI, store: str
) -> None:
    upload(client, store, "lighthouse.pdf", lighthouse("QX-4417"))
    stream = client.responses.create(
        model=MODEL,
        input=QUESTION,
        tools=[{"type": "file_search", "vector_store_ids": [store]}],
        max_output_tokens=60,
        stream=True,
    )
    events: list[Any] = list(stream)
    kinds = [event.type for event in events]

    assert [event.sequence_number for event in events] == list(range(len(events)))
    expected = [
        "response.created",
        "response.in_progress",
        "response.output_item.added",
        "response.file_search_call.in_progress",
        "response.file_search_call.searching",
        "response.file_search_call.completed",
        "response.output_item.done",
        "response.output_item.added",
        "response.content_part.added",
        "response.output_text.delta",
        "response.output_text.annotation.added",
        "response.output_text.done",
        "response.content_part.done",
        "response.output_item.done",
        "response.completed",
    ]
    positions = iter(kinds)
    assert all(kind in positions for kind in expected), kinds
    text = "".join(e.delta for e in events if e.type == "response.output_text.delta")
    assert text == events[-1].response.output_text
    assert "QX-4417" in text


def test_after_deletion_a_file_is_neither_found_nor_cited(
    client: openai.OpenAI, store: str
) -> None:
    attached = upload(client, store, "lighthouse.pdf", lighthouse("QX-4417"))
    upload(client, store, "other.txt", b"The harbour cat is called Matilda and sleeps a lot.")
    assert client.vector_stores.search(store, query=QUESTION).data[0].file_id == attached.id

    client.vector_stores.files.delete(attached.id, vector_store_id=store)

    found = client.vector_stores.search(store, query=QUESTION).data
    assert attached.id not in {hit.file_id for hit in found}
    response = ask(client, store)
    assert "QX-4417" not in response.output_text
    assert attached.id not in {c.file_id for c in citations(response)}
    with pytest.raises(openai.NotFoundError):
        client.vector_stores.files.retrieve(attached.id, vector_store_id=store)


def test_a_replaced_file_answers_from_the_new_version(client: openai.OpenAI, store: str) -> None:
    old = upload(client, store, "lighthouse.pdf", lighthouse("QX-4417"))
    new = upload(client, store, "lighthouse.pdf", lighthouse("ZT-9082"))

    response = ask(client, store)

    assert "ZT-9082" in response.output_text
    assert "QX-4417" not in response.output_text
    assert {c.file_id for c in citations(response)} == {new.id}
    listed = {item.id for item in client.vector_stores.files.list(store).data}
    assert listed == {new.id}
    assert old.id not in listed


def test_an_unanswerable_question_gets_no_invented_answer(
    client: openai.OpenAI, store: str
) -> None:
    upload(client, store, "lighthouse.pdf", lighthouse("QX-4417"))

    response = ask(client, store, "Which enzyme unwinds DNA during replication in bacteria?")

    assert "don't know" in response.output_text.replace("’", "'").lower()
    assert citations(response) == []


def test_unicode_survives_the_whole_way(client: openai.OpenAI, store: str) -> None:
    text = "Der Kapitän heißt Żółć-Ñandú 北京 😀 und wohnt in Gdańsk."
    attached = upload(client, store, "größe-北京.txt", text.encode())
    assert attached.status == "completed", attached.last_error

    found = client.vector_stores.search(store, query="Wie heißt der Kapitän?").data

    assert found[0].filename == "größe-北京.txt"
    assert "Żółć-Ñandú 北京 😀" in found[0].content[0].text


@pytest.mark.parametrize(
    ("name", "data", "says"),
    [
        ("empty.txt", b"", "empty"),
        ("locked.pdf", encrypted_pdf("secret"), "password"),
        ("cut.pdf", truncated(pdf("A page " * 200)), "cut short"),
        ("not-really.docx", pdf("A PDF with a wrong name."), "pdf"),
        ("program.exe", b"MZ\x90\x00" + bytes(200), "exe"),
    ],
)
def test_a_bad_file_fails_with_a_reason_and_loses_nothing_else(
    client: openai.OpenAI, store: str, name: str, data: bytes, says: str
) -> None:
    good = client.files.create(
        file=("good.txt", b"The harbour cat is called Matilda."), purpose="assistants"
    )
    bad = client.files.create(file=(name, io.BytesIO(data)), purpose="assistants")

    batch = client.vector_stores.file_batches.create_and_poll(
        store, file_ids=[bad.id, good.id], poll_interval_ms=200
    )

    assert (batch.file_counts.completed, batch.file_counts.failed) == (1, 1)
    failed = client.vector_stores.files.retrieve(bad.id, vector_store_id=store)
    assert failed.status == "failed"
    assert failed.last_error is not None
    assert says in failed.last_error.message.lower()
    found = client.vector_stores.search(store, query="What is the cat called?").data
    assert found[0].file_id == good.id


def test_two_streams_at_once_do_not_mix(client: openai.OpenAI) -> None:
    def count(word: str) -> str:
        stream = client.chat.completions.create(
            model=MODEL,
            messages=[{"role": "user", "content": f"Repeat the word {word} ten times."}],
            max_tokens=48,
            temperature=0,
            seed=7,
            stream=True,
        )
        return "".join(chunk.choices[0].delta.content or "" for chunk in stream if chunk.choices)

    alone = {word: count(word) for word in ("banana", "violin")}
    with concurrent.futures.ThreadPoolExecutor(2) as pool:
        together = dict(zip(alone, pool.map(count, alone), strict=True))

    assert "violin" not in together["banana"].lower()
    assert "banana" not in together["violin"].lower()
    assert together["banana"].strip()
    assert together["violin"].strip()


def test_attribute_filters_narrow_a_search(client: openai.OpenAI, store: str) -> None:
    north = upload(
        client, store, "north.txt", b"The office opens at nine.", attributes={"region": "north"}
    )
    upload(client, store, "south.txt", b"The office opens at ten.", attributes={"region": "south"})

    found = client.vector_stores.search(
        store,
        query="When does the office open?",
        filters={"type": "eq", "key": "region", "value": "north"},
    ).data

    assert {hit.file_id for hit in found} == {north.id}


def test_a_trace_tells_what_an_answer_was_made_of(client: openai.OpenAI, store: str) -> None:
    attached = upload(client, store, "lighthouse.pdf", lighthouse("QX-4417"))
    raw = client.responses.with_raw_response.create(
        model=MODEL,
        input=QUESTION,
        tools=[{"type": "file_search", "vector_store_ids": [store]}],
        max_output_tokens=40,
    )
    trace_id = raw.headers["x-trace-id"]

    trace: Any = client.get(f"/traces/{trace_id}", cast_to=object)

    assert trace["id"] == trace_id
    assert trace["question"] == QUESTION
    assert "QX-4417" in trace["answer"]
    assert attached.id in {passage["file_id"] for passage in trace["passages"]}
    assert trace["prompt_version"]
    assert trace["timings_ms"]["retrieve"] > 0


def test_the_evaluator_scores_an_answer_after_it_was_sent(
    client: openai.OpenAI, store: str
) -> None:
    upload(client, store, "lighthouse.pdf", lighthouse("QX-4417"))
    raw = client.responses.with_raw_response.create(
        model=MODEL,
        input=QUESTION,
        tools=[{"type": "file_search", "vector_store_ids": [store]}],
        max_output_tokens=40,
    )
    deadline = time.monotonic() + 30
    scores: dict[str, Any] = {}
    while not scores and time.monotonic() < deadline:
        trace: Any = client.get(f"/traces/{raw.headers['x-trace-id']}", cast_to=object)
        scores = {score["name"]: score for score in trace["scores"]}
        time.sleep(0.1)
    assert scores["groundedness"]["value"] == 1.0
    assert scores["answer_relevance"]["value"] > 0.5
    assert 0 < scores["retrieval_precision"]["value"] <= 1
    assert scores["groundedness"]["evaluator"]


def test_a_folder_is_ingested_by_a_ray_job(
    client: openai.OpenAI, system: System, store: str, tmp_path: Path
) -> None:
    """`ray job submit -- python -m ingestion.job`, submitted as that command does it."""
    from ray.job_submission import JobStatus, JobSubmissionClient

    (tmp_path / "clock.md").write_text("# Keys\n\nThe spare key hangs behind the green clock.\n")
    (tmp_path / "broken.pdf").write_bytes(b"not a PDF")
    name = client.vector_stores.retrieve(store).name
    jobs = JobSubmissionClient(
        f"http://127.0.0.1:{system.environment['EVERLOOP_RAY__DASHBOARD_PORT']}"
    )
    job = jobs.submit_job(
        entrypoint=f"python -m ingestion.job {tmp_path} --store {shlex.quote(name)}"
    )
    deadline = time.monotonic() + 200
    while not jobs.get_job_status(job).is_terminal() and time.monotonic() < deadline:
        time.sleep(1)
    log = jobs.get_job_logs(job)
    assert jobs.get_job_status(job) == JobStatus.FAILED, log  # one file could not be read
    assert "broken.pdf" in log
    found = client.vector_stores.search(store, query="Where is the spare key?").data
    assert found[0].filename == "clock.md"
