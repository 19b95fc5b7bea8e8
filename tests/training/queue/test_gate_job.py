"""Gate runs from their rows to a verdict and a promotion, over real tiny weights."""

import json
import threading
from collections.abc import Callable, Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any

import pytest

from cluster.adapters import store_adapter
from cluster.database import Database
from cluster.errors import DatabaseError, UnreachableError
from cluster.ids import DEFAULT_PROJECT, new_id
from cluster.internal_tokens import InternalTokens
from cluster.records import Adapter, Experiment, GateRun, StoredFile
from cluster.settings import HttpSettings, ModelSettings, Settings
from cluster.storage import ByteStore
from tests.fixtures.system import free_port
from tests.training.gate.conftest import Weights, weights
from tests.training.gate.serving import Answers, TinyService, labels
from tests.training.queue.rows import add_gate, add_job, claimed, gate_of, messages, work_of
from training.errors import GateError, SupersededError
from training.gate import GateReport
from training.queue import gate_job
from training.queue.ledger import Queue

__all__ = ["weights"]

BASE, ALIAS = "tiny", "assistant"
DATA = labels(60, 3)
TRUE = {str(e.messages[0]["content"]): str(e.messages[1]["content"]) for e in DATA}


class Aliases:
    """The alias's two routes."""

    def __init__(self) -> None:
        self.target = BASE
        self.promotions: list[dict[str, Any]] = []
        self.refuses = False
        self.credentials: list[str] = []
        self.port = free_port()

    def serve(self) -> ThreadingHTTPServer:
        state = self

        class Handler(BaseHTTPRequestHandler):
            def do_GET(self) -> None:
                assert self.path == f"/v1/aliases/{ALIAS}"
                state.credentials.append(self.headers["authorization"])
                self._answer(200, {"name": ALIAS, "target": state.target, "version": 3})

            def do_POST(self) -> None:
                assert self.path == f"/v1/aliases/{ALIAS}/promote"
                state.credentials.append(self.headers["authorization"])
                body = json.loads(self.rfile.read(int(self.headers["content-length"])))
                if state.refuses:
                    error = {"message": "the alias has moved", "type": "x", "code": "x"}
                    self._answer(409, {"error": error})
                    return
                state.promotions.append(body)
                state.target = body["target"]
                self._answer(200, {"name": ALIAS, "target": state.target})

            def _answer(self, status: int, body: dict[str, Any]) -> None:
                content = json.dumps(body).encode()
                self.send_response(status)
                self.send_header("content-type", "application/json")
                self.send_header("content-length", str(len(content)))
                self.send_header("x-should-retry", "false")
                self.end_headers()
                self.wfile.write(content)

            def log_message(self, *_arguments: object) -> None: ...

        return ThreadingHTTPServer(("127.0.0.1", self.port), Handler)


class Place:
    """A service with one adapter and the file that it is to be judged on."""

    def __init__(self, folder: Path, made: Weights, patch: pytest.MonkeyPatch) -> None:
        self.aliases = Aliases()
        self.settings = Settings(
            data_dir=folder,
            models=(ModelSettings(id=BASE, source=str(made.base)),),
            http=HttpSettings(port=self.aliases.port),
        )
        self.database = Database(self.settings.database_url)
        self.database.migrate()
        self.store = ByteStore(self.settings.storage_url)
        files = store_adapter(
            self.store, made.adapter, base=BASE, suffix=None, project=DEFAULT_PROJECT
        )
        self.adapter, self.file = files.id, new_id("file")
        lines = (json.dumps({"messages": chat.messages}) for chat in DATA)
        stored = self.store.put(self.file, ["\n".join(lines).encode()])
        with self.database.session() as session:
            session.add(
                Adapter(
                    id=files.id,
                    number=new_id("adapter"),
                    base=BASE,
                    base_revision="0" * 64,
                    kind="lora",
                    files=files.as_json(),
                    bytes=files.bytes,
                )
            )
            session.add(
                StoredFile(
                    id=self.file,
                    filename="held_out.jsonl",
                    purpose="fine-tune",
                    bytes=stored.size,
                    sha256=stored.sha256,
                    storage_key=self.file,
                )
            )
        self.job = add_job(self.database, status="succeeded")
        self._made = made
        self._patch = patch

    def gate(self, **columns: Any) -> str:
        """Queue a run; returns its id."""
        quick = {"resamples": 200, "parity_items": 1, "slice_by": "none"}
        return add_gate(
            self.database,
            **{
                "alias": ALIAS,
                "adapter_id": self.adapter,
                "evaluation_file": self.file,
                "settings": quick,
                "job_id": self.job,
                **columns,
            },
        )

    def run(self, gate_id: str, answers: Answers) -> str:
        """Claim it, and run that attempt against a service that gives these answers."""
        service = TinyService(
            self._made.base, {self.adapter: self._made.adapter, BASE: None}, answers
        )
        attempt = claimed(self.database, gate_id).attempts
        with self._patch.context() as patch:
            patch.setattr(gate_job, "HttpService", lambda *_args, **_options: service)
            return gate_job.run_queued_gate(self.settings, gate_id, attempt)

    def better(self, model: str, question: str) -> str:
        """The adapter knows, the base does not."""
        return TRUE[question] if model == self.adapter else "?"

    def change(self, **values: Any) -> None:
        """Set columns of the adapter's row."""
        with self.database.session() as session:
            row = session.get_one(Adapter, self.adapter)
            for name, value in values.items():
                setattr(row, name, value)


@pytest.fixture
def place(tmp_path: Path, weights: Weights, monkeypatch: pytest.MonkeyPatch) -> Iterator[Place]:
    made = Place(tmp_path, weights, monkeypatch)
    server = made.aliases.serve()
    thread = threading.Thread(target=server.serve_forever, daemon=True)
    thread.start()
    yield made
    server.shutdown()
    server.server_close()
    thread.join()
    made.database.close()


def test_what_is_better_is_promoted_with_its_report(place: Place) -> None:
    gate_id = place.gate()
    assert place.run(gate_id, place.better) == "promote"
    row = gate_of(place.database, gate_id)
    assert (row.status, row.verdict, row.champion, row.error) == (
        "completed",
        "promote",
        BASE,
        None,
    )
    report = GateReport.model_validate(row.report)
    assert report.candidate.model == place.adapter
    assert report.evidence.comparison is not None
    assert report.evidence.comparison.candidate == 1.0
    assert b"<html" in place.store.read(str(row.page_key))
    assert place.aliases.promotions == [{"target": place.adapter, "gate": gate_id}]
    told = messages(place.database, place.job)
    assert told[0].startswith("The gate says promote: ")
    assert told[1] == f"The alias {ALIAS} answers by {place.adapter} now."


def test_what_is_no_better_is_not_promoted(place: Place) -> None:
    gate_id = place.gate(job_id=None)
    assert place.run(gate_id, lambda _model, question: TRUE[question]) == "inconclusive"
    assert gate_of(place.database, gate_id).status == "completed"
    assert place.aliases.promotions == []
    assert messages(place.database, place.job) == []


def test_a_promotion_that_is_refused_leaves_the_verdict_and_says_why(place: Place) -> None:
    place.aliases.refuses = True
    gate_id = place.gate()
    assert place.run(gate_id, place.better) == "promote"
    row = gate_of(place.database, gate_id)
    assert (row.status, row.verdict) == ("completed", "promote")
    assert row.error is not None
    assert row.error["code"] == "promotion_failed"
    assert "the alias has moved" in row.error["message"]
    assert messages(place.database, place.job)[-1].startswith("Not promoted: ")


def _arm(place: Place, model: str, moved: int = 3) -> str:
    """Record an experiment on the alias since its move `moved`; the arm's name as a model."""
    with place.database.session() as session:
        session.add(
            Experiment(
                id="exp_1",
                alias=ALIAS,
                status="decided",
                arms=[
                    {"name": "control", "model": BASE, "prompt": None},
                    {"name": "new", "model": model, "prompt": "p@0123456789ab"},
                ],
                salt="s",
                state={"alias_version": moved, "share": 1.0, "stopped": {}},
            )
        )
    return "arm:exp_1:new"


def _by_arm(model: str, question: str) -> str:
    return TRUE[question] if model == "arm:exp_1:new" else "?"


def test_an_arm_is_asked_by_its_name_and_parity_does_not_apply_to_a_prompt(place: Place) -> None:
    arm = _arm(place, BASE)
    gate_id = place.gate(adapter_id=arm)
    assert place.run(gate_id, _by_arm) == "promote"
    row = gate_of(place.database, gate_id)
    report = GateReport.model_validate(row.report)
    assert (report.candidate.model, report.champion.model) == (arm, "arm:exp_1:control")
    assert row.champion == BASE
    checks = {check.name: check for check in report.verdict.checks}
    assert checks["parity"].result == checks["template"].result == "pass"
    assert "same weights" in checks["parity"].reason
    assert b"same weights" in place.store.read(str(row.page_key))
    assert place.aliases.promotions == [{"target": arm, "gate": gate_id}]


def test_the_weights_of_an_arm_s_adapter_are_checked(place: Place) -> None:
    gate_id = place.gate(adapter_id=_arm(place, place.adapter))
    assert place.run(gate_id, _by_arm) == "promote"
    report = GateReport.model_validate(gate_of(place.database, gate_id).report)
    assert report.evidence.parity.probes
    assert report.evidence.size.adapter_bytes > 0


def test_an_arm_is_not_compared_once_the_alias_has_moved(place: Place) -> None:
    gate_id = place.gate(adapter_id=_arm(place, BASE, moved=2))
    with pytest.raises(GateError, match="has moved since"):
        place.run(gate_id, _by_arm)


def test_a_prompt_cannot_be_judged_by_the_likelihood_of_weights(place: Place) -> None:
    arm = _arm(place, BASE)
    gate_id = place.gate(adapter_id=arm, settings={"metric": "log_likelihood"})
    with pytest.raises(GateError, match="an arm with a prompt"):
        place.run(gate_id, _by_arm)


def _deleted(place: Place) -> None:
    place.change(deleted_at=1)


def _elsewhere(place: Place) -> None:
    place.change(base="another")


@pytest.mark.parametrize(
    ("prepare", "says"),
    [(_deleted, "does not exist any more"), (_elsewhere, "which is not served")],
)
def test_an_adapter_that_cannot_answer_fails_the_run(
    place: Place, prepare: Callable[[Place], None], says: str
) -> None:
    prepare(place)
    gate_id = place.gate()
    with pytest.raises(GateError, match=says):
        place.run(gate_id, place.better)
    row = gate_of(place.database, gate_id)
    assert row.error is not None
    assert (row.status, row.error["code"]) == ("failed", "gate_failed")
    assert says in row.error["message"]
    assert says in messages(place.database, place.job)[-1]


def test_a_service_that_does_not_answer_is_asked_again_later(
    place: Place, monkeypatch: pytest.MonkeyPatch
) -> None:
    gate_id = place.gate()
    with monkeypatch.context() as patch:
        port = HttpSettings(port=free_port())
        patch.setattr(place, "settings", place.settings.model_copy(update={"http": port}))
        with pytest.raises(UnreachableError):
            place.run(gate_id, place.better)
    assert gate_of(place.database, gate_id).status == "running"
    work = work_of(place.database, gate_id)
    Queue(place.database).put_back(work, "lost", crashed=True, pause_s=0)
    assert place.run(gate_id, place.better) == "promote"


def test_a_run_that_was_taken_over_gives_no_verdict(place: Place) -> None:
    gate_id = place.gate()
    taken = threading.Event()

    def slow(model: str, question: str) -> str:
        if not taken.is_set():
            taken.set()
            work = work_of(place.database, gate_id)
            Queue(place.database).put_back(work, "lost", crashed=True, pause_s=0)
            claimed(place.database, gate_id)
        return place.better(model, question)

    with pytest.raises(SupersededError):
        place.run(gate_id, slow)
    row = gate_of(place.database, gate_id)
    assert (row.status, row.attempts, row.verdict, row.report) == ("running", 2, None, None)
    assert place.aliases.promotions == []


def test_the_command_s_status_says_whether_a_verdict_was_reached(
    place: Place, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    outcomes: list[str | Exception] = [
        "refuse",
        GateError("no data"),
        DatabaseError("away"),
        SupersededError("taken over"),
    ]

    def run(_settings: Settings, gate_id: str, number: int) -> str:
        assert (gate_id, number) == ("gate_1", 3)
        outcome = outcomes.pop(0)
        if isinstance(outcome, Exception):
            raise outcome
        return outcome

    monkeypatch.setattr(gate_job, "run_queued_gate", run)
    statuses = [gate_job.main(["--queued", "gate_1", "--attempt", "3"]) for _ in range(4)]
    assert statuses == [0, 1, 1, 2]
    out, err = capsys.readouterr()
    assert out == "gate_1: refuse\n"
    assert "no data" in err
    with place.database.session(read_only=True) as session:
        assert session.get(GateRun, "gate_1") is None


def test_it_asks_with_tokens_of_its_own_project(place: Place) -> None:
    place.run(place.gate(), place.better)
    tokens = InternalTokens.of(place.settings)
    grants = [tokens.read(one.removeprefix("Bearer ")) for one in place.aliases.credentials]
    assert len(grants) == 2
    for grant in grants:
        assert grant is not None
        assert grant.project_id == DEFAULT_PROJECT
        assert grant.scopes == {"inference", "training"}
