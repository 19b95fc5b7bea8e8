"""`fine_tuning.jobs` through the official client: what is accepted, refused and kept."""

import json
from typing import Any

import httpx2
import openai
import pytest

from cluster.ids import new_id
from cluster.records import FineTuningCheckpoint, FineTuningEvent, FineTuningJob
from deployments.gateway.services import Services
from tests.fakes.adapters import add_adapter

BASE = "smollm2-135m-instruct"
ROWS = [
    {"messages": [{"role": "user", "content": f"{n}?"}, {"role": "assistant", "content": str(n)}]}
    for n in range(3)
]


@pytest.fixture
async def data(client: openai.AsyncOpenAI) -> str:
    text = "\n".join(map(json.dumps, ROWS))
    made = await client.files.create(file=("rows.jsonl", text.encode()), purpose="fine-tune")
    return made.id


async def test_a_job_is_queued_with_every_setting_resolved(
    client: openai.AsyncOpenAI, data: str
) -> None:
    job = await client.fine_tuning.jobs.create(
        model="assistant",
        training_file=data,
        suffix="bank",
        seed=7,
        metadata={"team": "a"},
        method={
            "type": "supervised",
            "supervised": {
                "hyperparameters": {
                    "n_epochs": 2,
                    "batch_size": 4,
                    "learning_rate_multiplier": 0.5,
                }
            },
        },
    )
    assert (job.status, job.model, job.seed, job.fine_tuned_model) == ("queued", BASE, 7, None)
    settings = job.model_extra["training"]  # type: ignore[index]
    assert (settings["epochs"], settings["batch"]["examples"]) == (2, 4)
    assert settings["optimizer"]["learning_rate"] == pytest.approx(1e-4)
    assert settings["adapter"]["rank"] == 16
    assert settings["data"]["evaluation"] is None
    again = await client.fine_tuning.jobs.retrieve(job.id)
    assert again == job
    listed = await client.fine_tuning.jobs.list()
    assert [row.id for row in listed.data] == [job.id]
    events = await client.fine_tuning.jobs.list_events(job.id)
    assert [event.message for event in events.data] == ["Created; waiting for its turn."]


async def test_a_gated_job_is_decontaminated_by_default(
    client: openai.AsyncOpenAI, data: str
) -> None:
    job = await client.fine_tuning.jobs.create(
        model=BASE,
        training_file=data,
        extra_body={"evaluation_file": data, "alias": "assistant", "gate": {"max_items": 9}},
    )
    training: Any = job.model_extra["training"]  # type: ignore[index]
    curation = training["data"]["curation"]
    assert training["data"]["evaluation"] == "evaluation"
    assert curation["decontamination"] is not None
    assert (curation["exact_duplicates"], curation["split"]["validation_share"]) == (False, 0)
    assert job.model_extra["alias"] == "assistant"  # type: ignore[index]


@pytest.mark.parametrize(
    ("changes", "param", "says"),
    [
        ({"training": {"adapter": {"rank": 64}}}, "training.adapter.rank", "16 at most"),
        ({"training": {"adapter": {"rnk": 8}}}, "training.adapter.rnk", "Extra inputs"),
        (
            {"training": {"optimizer": {"learning_rate": -1}}},
            "training.optimizer.learning_rate",
            "-1",
        ),
        ({"training": {"name": "x"}}, "training.name", "set by the job"),
        ({"training": {"data": {"train": "/etc/passwd"}}}, "training.data.train", "training_file"),
        ({"alias": "assistant"}, "evaluation_file", "required"),
        ({"gate": {"max_items": 3}}, "gate", "needs alias"),
        ({"suffix": "a b"}, "suffix", "pattern"),
        ({"integrations": [{"type": "wandb"}]}, "integrations", "not offered"),
        ({"method": {"type": "reinforcement"}}, "method.type", "'supervised' or 'dpo'"),
        ({"training_file": "file-none"}, "training_file", "No such file"),
        ({"model": "gpt-4o"}, "model", "does not exist"),
        ({"hyperparameters": {"n_epochs": 0}}, "hyperparameters.n_epochs", "greater than"),
    ],
)
async def test_what_cannot_work_is_refused_by_its_field(
    http: httpx2.AsyncClient, data: str, changes: dict[str, Any], param: str, says: str
) -> None:
    body = {"model": BASE, "training_file": data, **changes}
    answer = await http.post("/v1/fine_tuning/jobs", json=body)
    error = answer.json()["error"]
    assert answer.status_code in {400, 404}, answer.text
    assert param in str(error["param"]), error
    assert says in error["message"], error
    assert (await http.get("/v1/fine_tuning/jobs")).json()["data"] == []


async def test_gate_settings_are_checked_when_the_job_is_made(
    http: httpx2.AsyncClient, data: str
) -> None:
    body = {"model": BASE, "training_file": data, "evaluation_file": data, "alias": "assistant"}
    answer = await http.post("/v1/fine_tuning/jobs", json={**body, "gate": {"metric": "bleu"}})
    assert (answer.status_code, answer.json()["error"]["param"]) == (400, "gate.metric")
    dora = {"adapter": {"kind": "dora"}}
    answer = await http.post("/v1/fine_tuning/jobs", json={**body, "training": dora})
    assert answer.json()["error"]["param"] == "training.adapter.kind"
    assert "lora, rslora, qlora" in answer.json()["error"]["message"]


async def test_a_file_for_something_else_is_refused(client: openai.AsyncOpenAI, data: str) -> None:
    other = await client.files.create(file=("a.txt", b"text"), purpose="user_data")
    with pytest.raises(openai.BadRequestError, match="uploaded for user_data"):
        await client.fine_tuning.jobs.create(
            model=BASE, training_file=data, validation_file=other.id
        )


async def test_an_adapter_is_no_base(
    client: openai.AsyncOpenAI, parts: Services, data: str
) -> None:
    adapter = add_adapter(parts.database, parts.storage)
    with pytest.raises(openai.BadRequestError, match="model is an adapter"):
        await client.fine_tuning.jobs.create(model=adapter, training_file=data)


async def test_a_waiting_job_is_paused_resumed_and_cancelled(
    client: openai.AsyncOpenAI, data: str
) -> None:
    job = await client.fine_tuning.jobs.create(model=BASE, training_file=data)
    assert str((await client.fine_tuning.jobs.pause(job.id)).status) == "paused"
    assert (await client.fine_tuning.jobs.resume(job.id)).status == "queued"
    ended = await client.fine_tuning.jobs.cancel(job.id)
    assert (ended.status, ended.finished_at is not None) == ("cancelled", True)
    with pytest.raises(openai.BadRequestError, match="it is cancelled"):
        await client.fine_tuning.jobs.cancel(job.id)
    assert (await client.fine_tuning.jobs.resume(job.id)).status == "queued"
    with pytest.raises(openai.NotFoundError):
        await client.fine_tuning.jobs.cancel("ftjob-none")


async def test_a_running_job_is_told_what_is_wished(
    client: openai.AsyncOpenAI, parts: Services, data: str
) -> None:
    job = await client.fine_tuning.jobs.create(model=BASE, training_file=data)
    _change(parts, job.id, status="running")
    assert (await client.fine_tuning.jobs.pause(job.id)).status == "running"
    assert _job(parts, job.id).wish == "pause"
    await client.fine_tuning.jobs.resume(job.id)
    assert _job(parts, job.id).wish is None
    await client.fine_tuning.jobs.cancel(job.id)
    assert _job(parts, job.id).wish == "cancel"


async def test_a_cancel_that_was_asked_for_is_not_made_a_pause(
    client: openai.AsyncOpenAI, parts: Services, data: str
) -> None:
    job = await client.fine_tuning.jobs.create(model=BASE, training_file=data)
    _change(parts, job.id, status="running", wish="cancel")
    with pytest.raises(openai.BadRequestError, match="being cancelled") as refused:
        await client.fine_tuning.jobs.pause(job.id)
    assert refused.value.code == "job_cancelling"
    assert _job(parts, job.id).wish == "cancel"
    _change(parts, job.id, wish="pause")
    await client.fine_tuning.jobs.cancel(job.id)
    assert _job(parts, job.id).wish == "cancel"


async def test_events_and_checkpoints_come_newest_first_in_pages(
    client: openai.AsyncOpenAI, parts: Services, data: str
) -> None:
    job = await client.fine_tuning.jobs.create(model=BASE, training_file=data)
    with parts.database.session() as session:
        for step in range(3):
            session.add(
                FineTuningEvent(
                    id=new_id("ftevent"), job_id=job.id, message=f"s{step}", data={"step": step}
                )
            )
            session.add(
                FineTuningCheckpoint(
                    id=new_id("ftckpt"),
                    job_id=job.id,
                    adapter_id=f"ft:{BASE}:{step}",
                    step=step,
                    metrics={"train_loss": 0.5},
                )
            )
    page = await client.fine_tuning.jobs.list_events(job.id, limit=2)
    assert [event.message for event in page.data] == ["s2", "s1"]
    assert page.has_more
    every = [e.message async for e in client.fine_tuning.jobs.list_events(job.id, limit=2)]
    assert every == ["s2", "s1", "s0", "Created; waiting for its turn."]
    found = await client.fine_tuning.jobs.checkpoints.list(job.id)
    assert [row.step_number for row in found.data] == [2, 1, 0]
    assert found.data[0].fine_tuned_model_checkpoint == f"ft:{BASE}:2"
    assert found.data[0].metrics.train_loss == 0.5


def _change(parts: Services, job_id: str, **values: Any) -> None:
    with parts.database.session() as session:
        row = session.get(FineTuningJob, job_id)
        assert row is not None
        for name, value in values.items():
            setattr(row, name, value)


def _job(parts: Services, job_id: str) -> FineTuningJob:
    with parts.database.session(read_only=True) as session:
        row = session.get(FineTuningJob, job_id)
        assert row is not None
        return row
