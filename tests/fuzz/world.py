"""The real gateway over fakes, with an object of every kind in its records."""

import contextlib
import dataclasses
import functools
import json
import random
import re
import shutil
from collections.abc import AsyncIterator
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Final, cast

from fastapi import FastAPI

from cluster.database import Database
from cluster.models import ensure_model
from cluster.sections.learning import AlertSettings, WebhookSettings
from cluster.settings import AccessSettings, Settings, TracingSettings, load_settings
from deployments.gateway.app import create_app
from deployments.gateway.grounding.answer_request import ChatProfile
from deployments.gateway.grounding.answerer import GroundedAnswerer
from deployments.gateway.grounding.tokens import TokenCounter
from deployments.gateway.services import Services
from deployments.prompts import PromptLibrary
from tests.benchmarks.light_gateway import LightModel
from tests.fakes.adapters import add_adapter
from tests.fakes.parts import FakeEvaluator, FakeIngestor
from tests.fixtures.drift import stored_drift
from tests.fixtures.gateway import fake_services
from tests.fixtures.lineage import BASE
from tests.fuzz.attempts import Attempt, Sender
from tests.fuzz.known import Known

__all__ = ["World", "known_objects", "planted_world"]

_LISTS: Final = (
    "/v1/files", "/v1/vector_stores", "/v1/fine_tuning/jobs", "/v1/adapters", "/v1/gate_runs",
    "/v1/evals", "/v1/evals/comparisons", "/v1/traces", "/v1/prompts", "/v1/experiments",
    "/v1/feedback", "/v1/drift/monitors", "/v1/alerts", "/v1/models", "/v1/aliases",
)  # fmt: skip
_PLACEHOLDER: Final = re.compile(r"\{([a-z_]+)\}")
_NAMES: Final = {
    ("name", "alias"): ("assistant", "helper"),
    ("name", "prompt", "prompt_id"): ("polite", "first"),
    ("label",): ("production", "latest"),
    ("version", "from", "to"): ("1", "2", "latest"),
    ("arm",): ("a", "b", "control"),
    ("model", "model_id", "target", "base_model"): (BASE,),
    ("item_id",): ("outputitem_1",),
}
"""Names of what is not found by an id."""
_PROMPT: Final = {
    "messages": [{"role": "user", "content": "Be polite. {{ question }}"}],
    "variables": {"question": {"type": "string"}},
}
_ARMS: Final = [{"name": "control"}, {"name": "b", "model": "{adapter}"}]
_ADDED: Final[tuple[tuple[str, dict[str, Any]], ...]] = (
    ("/v1/prompts", {"name": "polite", "version": _PROMPT}),
    ("/v1/prompts", {"name": "first", "version": _PROMPT}),
    ("/v1/prompts/polite/versions", {"messages": [{"role": "user", "content": "Be brief."}]}),
    ("/v1/prompts/polite/labels/production", {"version": "1"}),
    ("/v1/aliases", {"name": "helper", "target": BASE}),
    ("/v1/vector_stores", {"name": "handbooks"}),
    ("/v1/vector_stores/{vector_store_id}/files", {"file_id": "{file_id}"}),
    ("/v1/vector_stores/{vector_store_id}/file_batches", {"file_ids": ["{file_id}"]}),
    ("/v1/chat/completions",
     {"model": BASE, "messages": [{"role": "user", "content": "Which colour is the sky?"}]}),
    ("/v1/responses", {"model": BASE, "input": "Which colour is the sky?"}),
    ("/v1/feedback", {"trace_id": "{trace_id}", "thumbs": "up"}),
    ("/v1/fine_tuning/jobs", {"model": BASE, "training_file": "{training_file}"}),
    ("/v1/evals", {
        "name": "sorts",
        "data_source_config": {"type": "custom", "item_schema": {"type": "object"}},
        "testing_criteria": [{"type": "string_check", "name": "a", "operation": "eq",
                              "input": "{{item.answer}}", "reference": "b"}]}),
    ("/v1/evals/{eval_id}/runs", {
        "data_source": {"type": "jsonl", "source": {"type": "file_id", "id": "{evals_file}"}}}),
    ("/v1/experiments", {"alias": "assistant", "arms": _ARMS, "start": True,
                         "settings": {"metric": {"name": "trace:empty", "wait_s": 1.0}}}),
    ("/v1/gate_runs",
     {"adapter": "{adapter}", "alias": "assistant", "evaluation_file": "{training_file}"}),
    ("/v1/drift/monitors", {"name": "questions"}),
    ("/v1/alerts/test", {}),
)  # fmt: skip
"""A body for each kind of object; names in braces stand for ids that are known by then."""
_FILES: Final = (
    ("file_id", "user_data", "sky.txt", "The sky is blue.\n\nGrass is green."),
    ("training_file", "fine-tune", "rows.jsonl",
     '{"messages":[{"role":"user","content":"a"},{"role":"assistant","content":"b"}]}\n' * 12),
    ("evals_file", "evals", "items.jsonl", '{"item":{"question":"a","answer":"b"}}\n' * 3),
)  # fmt: skip


@dataclass(frozen=True)
class World:
    """An application, and what is behind it."""

    app: FastAPI
    services: Services


@functools.cache
def _template(folder: Path) -> Path:
    """A migrated SQLite file; copying it is cheaper than to migrate anew."""
    path = folder / "template.db"
    database = Database(f"sqlite:///{path}", pool_size=1)
    database.migrate()
    database.close()
    return path


@functools.cache
def _counter() -> TokenCounter:
    return TokenCounter(ensure_model("packaged:all-minilm-l6-v2", load_settings().cache_dir))


@contextlib.asynccontextmanager
async def planted_world(folder: Path, number: int) -> AsyncIterator[World]:
    """A fresh one in `folder`; an adapter and a report of drift are in its records."""
    data = folder / f"world-{number}"
    data.mkdir()
    shutil.copy(_template(folder), data / "records.db")
    settings = Settings(
        data_dir=data,
        access=AccessSettings(keys="off"),
        tracing=TracingSettings(flush_interval_s=0.01),
        alerts=AlertSettings(webhooks=(WebhookSettings(url="http://127.0.0.1:9/hook"),)),
    )
    database = Database(f"sqlite:///{data / 'records.db'}")
    base = fake_services(settings, database)
    model = LightModel()
    answerer = GroundedAnswerer(
        retriever=base.retriever,
        profiles={BASE: ChatProfile(model, _counter(), 4096)},
        embedder=base.embedder,
        prompts=PromptLibrary(),
        evaluator=FakeEvaluator(),
        settings=settings.grounding,
        sample_rate=0.0,
    )
    services = dataclasses.replace(base, models={BASE: model}, answerer=answerer)
    await services.guards.judging("").warm_up()  # as on a system that has run for a minute
    await stored_drift(database)
    add_adapter(database, services.storage)
    try:
        yield World(create_app(services), services)
    finally:
        await services.shadows.close()
        await services.traces.close()
        database.close()
        shutil.rmtree(data)


async def known_objects(sender: Sender, chance: random.Random, world: World | None) -> Known:
    """Make an object of every kind over the API, and learn the ids of what is there."""
    known = Known(chance)
    for fields, values in _NAMES.items():
        for value in values:
            known.add(fields, value)
    for field, purpose, name, text in _FILES:
        answer = await sender.send(_upload(purpose, name, text))
        known.learn(answer)
        if answer.status == 200:
            known.add((field,), json.loads(answer.body)["id"])
    for path in _LISTS:
        known.learn(await sender.send(Attempt("plant", "GET", f"{path}?limit=20".encode())))
    for path, body in _ADDED:
        known.learn(await sender.send(_posted(_filled(path, known), _filled_tree(body, known))))
        if path.endswith("/files") and world is not None:
            await cast(FakeIngestor, world.services.ingestor).work()
        if path == "/v1/responses" and world is not None:
            await world.services.traces.flush()
    return known


def _upload(purpose: str, name: str, text: str) -> Attempt:
    body = (
        f'--b\r\nContent-Disposition: form-data; name="purpose"\r\n\r\n{purpose}\r\n'
        f'--b\r\nContent-Disposition: form-data; name="file"; filename="{name}"\r\n\r\n'
        f"{text}\r\n--b--\r\n"
    )
    kind = b"multipart/form-data; boundary=b"
    attempt = Attempt("plant", "POST", b"/v1/files").with_header(b"content-type", kind)
    return attempt.with_body(body.encode())


def _posted(path: str, body: Any) -> Attempt:
    attempt = Attempt("plant", "POST", path.encode())
    if not body:
        return attempt
    attempt = attempt.with_header(b"content-type", b"application/json")
    return attempt.with_body(json.dumps(body).encode())


def _filled(text: str, known: Known) -> str:
    return _PLACEHOLDER.sub(lambda found: known.pick(found.group(1)) or found.group(), text)


def _filled_tree(body: Any, known: Known) -> Any:
    return json.loads(_filled(json.dumps(body), known))
