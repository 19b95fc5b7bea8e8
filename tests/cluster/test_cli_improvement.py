"""The commands of the improvement path against the real gateway, whose jobs a test plays itself."""

import json
from collections import deque
from collections.abc import Callable
from pathlib import Path
from types import SimpleNamespace
from typing import Any

import pytest
from sqlalchemy import select
from typer.testing import CliRunner, Result

from cluster.cli.app import app
from cluster.database import Database
from cluster.ids import new_id
from cluster.records import FineTuningEvent, FineTuningJob, GateRun, StoredFile
from tests.fakes.adapters import add_adapter
from tests.fixtures.gateway import Gateway

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

BASE = "smollm2-135m-instruct"
REFUSING = "http://127.0.0.1:9/v1"
ROWS = "\n".join(
    json.dumps(
        {"messages": [{"role": "user", "content": "1?"}, {"role": "assistant", "content": a}]}
    )
    for a in ("one", "two", "three")
)
REASON = "The candidate is right on 412 of 500 held-out items and the champion on 31 of them."
CHECKS = [
    {"name": "parity", "result": "pass", "reason": "Trained and served weights agree."},
    {"name": "comparison", "result": "pass", "reason": REASON},
]


@pytest.fixture(autouse=True)
def _own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERLOOP_DATA_DIR", str(tmp_path / "own"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "200")


class Play:
    """What happens each time that a command waits; a wait too many fails."""

    def __init__(self) -> None:
        self.acts: deque[Callable[[], object]] = deque()

    def sleep(self, _seconds: float) -> None:
        assert self.acts, "the command waits for what will not come"
        self.acts.popleft()()


@pytest.fixture
def play(monkeypatch: pytest.MonkeyPatch) -> Play:
    made = Play()
    monkeypatch.setattr("cluster.cli.train.time", SimpleNamespace(sleep=made.sleep))
    return made


@pytest.fixture
def data(tmp_path: Path) -> Path:
    path = tmp_path / "rows.jsonl"
    path.write_text(ROWS)
    return path


def everloop(gateway: Gateway, *arguments: str) -> Result:
    return CliRunner().invoke(app, [*arguments, "--base-url", gateway.url])


def add_job(gateway: Gateway, **columns: Any) -> str:
    job_id = new_id("ftjob")
    values = {"model": BASE, "training_file": "file-1", "status": "queued", **columns}
    method = {"type": "supervised", "supervised": {"hyperparameters": {}}}
    with gateway.database.session() as session:
        session.add(FineTuningJob(id=job_id, method=method, settings={}, **values))
    return job_id


def add_gate(gateway: Gateway, adapter: str, **columns: Any) -> str:
    values: dict[str, Any] = {
        "status": "completed",
        "verdict": "promote",
        "champion": BASE,
        "report": {"verdict": {"outcome": "promote", "checks": CHECKS}},
        **columns,
    }
    gate_id = new_id("gate")
    with gateway.database.session() as session:
        session.add(
            GateRun(
                id=gate_id,
                alias="assistant",
                adapter_id=adapter,
                evaluation_file="file-1",
                **values,
            )
        )
    return gate_id


def change(gateway: Gateway, kind: type[Any], row_id: str, **values: Any) -> None:
    with gateway.database.session() as session:
        row = session.get_one(kind, row_id)
        for name, value in values.items():
            setattr(row, name, value)


def tell(gateway: Gateway, job_id: str, message: str, **data: Any) -> None:
    with gateway.database.session() as session:
        session.add(
            FineTuningEvent(
                id=new_id("ftevent"),
                job_id=job_id,
                message=message,
                type="metrics" if data else "message",
                data=data,
            )
        )


def only_job(gateway: Gateway) -> FineTuningJob:
    with gateway.database.session(read_only=True) as session:
        return session.scalars(select(FineTuningJob)).one()


def uploads(gateway: Gateway) -> list[StoredFile]:
    with gateway.database.session(read_only=True) as session:
        return list(session.scalars(select(StoredFile).order_by(StoredFile.id)))


def test_train_uploads_makes_a_job_and_prints_its_id(
    gateway: Gateway, data: Path, tmp_path: Path
) -> None:
    config = tmp_path / "job.yaml"
    config.write_text("training: {adapter: {rank: 4}}\nmetadata: {team: a}\n")
    options = ("--epochs", "2", "--suffix", "bank", "--seed", "7", "--config", str(config))
    done = everloop(gateway, "train", str(data), "--evaluation", str(data), *options, "--no-follow")
    assert done.exit_code == 0, done.output
    job = only_job(gateway)
    assert done.stdout == f"{job.id}\n"
    files = uploads(gateway)
    assert [file.purpose for file in files] == ["fine-tune"] * 2
    assert [job.training_file, job.evaluation_file] == [file.id for file in files]
    assert f"Uploaded {data} as {files[0].id}." in done.stderr
    assert (job.model, job.suffix, job.meta) == (BASE, "bank", {"team": "a"})
    assert job.gate is not None
    assert job.gate["alias"] == "assistant"
    settings = job.settings
    assert (settings["epochs"], settings["seed"], settings["adapter"]["rank"]) == (2, 7, 4)


def test_train_without_following_prints_the_job_as_json(gateway: Gateway, data: Path) -> None:
    done = everloop(gateway, "train", str(data), "--no-follow", "--json")
    assert json.loads(done.stdout)["id"] == only_job(gateway).id


def play_a_success(gateway: Gateway, play: Play, *, gate: dict[str, Any] | None = None) -> str:
    """Two steps, an adapter, and a gate run that ends as `gate` says; the adapter's id."""
    adapter = add_adapter(gateway.database, gateway.storage)

    def step() -> None:
        job = only_job(gateway)
        change(gateway, FineTuningJob, job.id, status="running")
        tell(gateway, job.id, "Attempt 1: reading the data.")
        metrics = {"step": 5, "total_steps": 10, "train_loss": 0.5, "tokens_per_second": 99.7}
        tell(gateway, job.id, "Step 5/10: training loss=0.5000", **metrics)
        tell(gateway, job.id, "Step 5: validation loss=0.4000", step=5, valid_loss=0.4)

    def end() -> None:
        job, run = only_job(gateway), None
        if gate is not None:
            run = add_gate(gateway, adapter, status="running", verdict=None, report=None)
            play.acts.append(lambda: change(gateway, GateRun, run, **gate))
        change(gateway, FineTuningJob, job.id, status="succeeded", adapter_id=adapter, gate_id=run)
        tell(gateway, job.id, f"Succeeded: {adapter}.")

    play.acts += (step, end)
    return adapter


REPORT = {"verdict": {"outcome": "promote", "checks": CHECKS}}


def test_train_follows_the_job_and_its_gate_to_their_end(
    gateway: Gateway, data: Path, play: Play
) -> None:
    promoted = {"status": "completed", "verdict": "promote", "report": REPORT, "promoted": True}
    adapter = play_a_success(gateway, play, gate=promoted)
    done = everloop(gateway, "train", str(data))
    assert done.exit_code == 0, done.output
    job = only_job(gateway)
    assert done.stdout.splitlines() == [
        f"succeeded: {adapter}",
        "gate: promote",
        "  pass     Trained and served weights agree.",
        f"  pass     {REASON}",
        f"assistant answers by it now. The whole report: everloop gate {job.gate_id}",
    ]
    for line in (
        f"Job {job.id} on {BASE}.",
        "Attempt 1: reading the data.",
        "Step 5/10: training loss=0.5000, 100 tokens/s",
        "Step 5: validation loss=0.4000",
        f"Succeeded: {adapter}.",
    ):
        assert done.stderr.count(line) == 1, line


def test_train_ends_with_one_json_document(gateway: Gateway, data: Path, play: Play) -> None:
    ended = {"status": "completed", "verdict": "refuse", "report": REPORT}
    adapter = play_a_success(gateway, play, gate=ended)
    done = everloop(gateway, "train", str(data), "--json")
    assert done.exit_code == 0, done.output  # a verdict was reached
    found = json.loads(done.stdout)
    assert found["job"]["fine_tuned_model"] == adapter
    assert (found["gate_run"]["verdict"], found["gate_run"]["promoted"]) == ("refuse", False)


def test_a_gate_that_fails_fails_the_command(gateway: Gateway, data: Path, play: Play) -> None:
    failed = {"status": "failed", "error": {"code": "gate_failed", "message": "No items."}}
    play_a_success(gateway, play, gate=failed)
    done = everloop(gateway, "train", str(data))
    assert (done.exit_code, done.stdout.splitlines()[-1]) == (1, "gate failed: No items.")


@pytest.mark.parametrize(
    ("values", "said"),
    [
        (
            {"status": "failed", "error": {"code": "plan_error", "message": "Too long."}},
            "failed: Too long.",
        ),
        ({"status": "cancelled"}, "cancelled"),
        ({"status": "paused"}, "paused: `everloop jobs {id} --resume` goes on"),
    ],
)
def test_a_job_that_does_not_succeed_fails_the_command(
    gateway: Gateway, data: Path, play: Play, values: dict[str, Any], said: str
) -> None:
    play.acts.append(lambda: change(gateway, FineTuningJob, only_job(gateway).id, **values))
    done = everloop(gateway, "train", str(data))
    assert (done.exit_code, done.stdout) == (1, said.format(id=only_job(gateway).id) + "\n")


def test_ctrl_c_leaves_the_job_running_and_says_how_to_go_on(
    gateway: Gateway, data: Path, play: Play
) -> None:
    def press() -> None:
        raise KeyboardInterrupt

    play.acts.append(press)
    done = everloop(gateway, "train", str(data))
    job = only_job(gateway)
    assert (done.exit_code, job.status, job.wish) == (130, "queued", None)
    assert f"everloop jobs {job.id} --cancel" in done.stderr


@pytest.mark.parametrize(
    ("arguments", "config", "code", "says"),
    [
        (("none.jsonl",), None, 2, "There is no file none.jsonl. What to do: Give the path"),
        (("{data}", "--validation", "gone.csv"), None, 2, "There is no file gone.csv."),
        (("{data}", "--config", "gone.yaml"), None, 2, "The config gone.yaml cannot be read"),
        (("{data}", "--config", "{config}"), "a: [", 2, "Give a YAML file with `training`"),
        (("{data}", "--config", "{config}"), "[1]", 2, "holds a list, not a mapping"),
    ],
)
def test_what_train_cannot_read_is_said_before_anything_is_uploaded(
    gateway: Gateway,
    data: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    config: str | None,
    code: int,
    says: str,
) -> None:
    (tmp_path / "job.yaml").write_text(config or "")
    places = {"data": data, "config": tmp_path / "job.yaml"}
    done = everloop(gateway, "train", *(part.format(**places) for part in arguments))
    assert done.exit_code == code, done.output
    assert says in " ".join(done.stderr.split())
    assert uploads(gateway) == []


@pytest.mark.parametrize(
    ("arguments", "config", "says"),
    [
        (("--config", "{config}"), "training: {adapter: {rnk: 8}}", "training.adapter.rnk"),
        (("--config", "{config}"), "trainings: {}", "trainings"),
        (("--alias", "assistant"), "", "evaluation_file is required"),
        (("--model", "gpt-4o"), "", "gpt-4o"),
        (("--columns", "question"), "", "columns must be JSON, such as"),
    ],
)
def test_what_the_server_refuses_is_told_by_its_field(
    gateway: Gateway,
    data: Path,
    tmp_path: Path,
    arguments: tuple[str, ...],
    config: str,
    says: str,
) -> None:
    path = tmp_path / "job.yaml"
    path.write_text(config)
    done = everloop(gateway, "train", str(data), *(a.format(config=path) for a in arguments))
    assert done.exit_code == 1, done.output
    assert says in " ".join(done.stderr.split())


def test_wrong_rows_are_told_by_their_line(gateway: Gateway, tmp_path: Path) -> None:
    path = tmp_path / "rows.jsonl"
    path.write_text(ROWS + '\n{"messages": []}\n')
    done = everloop(gateway, "train", str(path))
    assert done.exit_code == 1
    assert "line 4" in done.stderr
    assert uploads(gateway) == []


@pytest.mark.parametrize(
    "arguments",
    [
        ("train", "{data}"),
        ("rollback",),
    ],
)
def test_where_nothing_answers_a_command_says_so(
    data: Path, arguments: tuple[str, ...], database: Database
) -> None:
    done = CliRunner().invoke(
        app, [*(part.format(data=data) for part in arguments), "--base-url", REFUSING]
    )
    assert done.exit_code == 3, done.output
    assert "everloop up" in done.stderr


def test_jobs_are_listed_newest_first(gateway: Gateway) -> None:
    assert everloop(gateway, "jobs").stdout == (
        "No job was made yet: `everloop train FILE` makes one.\n"
    )
    first = add_job(gateway, status="succeeded", adapter_id="ft:tiny:1")
    second = add_job(gateway, status="running")
    lines = everloop(gateway, "jobs").stdout.splitlines()
    assert lines[0].split() == ["job", "status", "model", "adapter", "made"]
    assert lines[1].split()[:4] == [second, "running", BASE, "-"]
    assert lines[2].split()[:4] == [first, "succeeded", BASE, "ft:tiny:1"]
    found = json.loads(everloop(gateway, "jobs", "--json").stdout)
    assert [job["id"] for job in found["data"]] == [second, first]


def test_a_job_is_followed_again_from_its_beginning(gateway: Gateway, play: Play) -> None:
    job_id = add_job(gateway, status="running")
    tell(gateway, job_id, "Attempt 1: reading the data.")
    play.acts.append(lambda: change(gateway, FineTuningJob, job_id, status="cancelled"))
    done = everloop(gateway, "jobs", job_id)
    assert (done.exit_code, done.stdout) == (1, "cancelled\n")
    assert "Attempt 1" in done.stderr


@pytest.mark.parametrize(
    ("wish", "status", "after"),
    [
        ("cancel", "queued", "cancelled"),
        ("cancel", "running", "running, asked to cancel"),
        ("pause", "queued", "paused"),
        ("pause", "running", "running, asked to pause"),
        ("resume", "paused", "queued"),
    ],
)
def test_a_job_is_told_a_wish(gateway: Gateway, wish: str, status: str, after: str) -> None:
    job_id = add_job(gateway, status=status)
    done = everloop(gateway, "jobs", job_id, f"--{wish}")
    assert (done.exit_code, done.stdout) == (0, f"{job_id} is {after}\n")
    found = json.loads(everloop(gateway, "jobs", job_id, f"--{wish}", "--json").stdout or "{}")
    assert found.get("id") in {job_id, None}  # a second time may be refused


@pytest.mark.parametrize(
    "arguments", [("--cancel",), ("ftjob-1", "--cancel", "--pause"), ("--pause", "--resume")]
)
def test_a_wish_is_one_and_for_one_job(gateway: Gateway, arguments: tuple[str, ...]) -> None:
    done = everloop(gateway, "jobs", *arguments)
    assert done.exit_code == 2
    assert done.stderr == "Give one job, and one of --cancel, --pause and --resume.\n"


def test_a_wish_that_cannot_be_granted_is_refused(gateway: Gateway) -> None:
    ended = add_job(gateway, status="failed")
    done = everloop(gateway, "jobs", ended, "--pause")
    assert done.exit_code == 1
    assert "has ended: it is failed" in " ".join(done.stderr.split())
    running = add_job(gateway, status="running", wish="cancel")
    done = everloop(gateway, "jobs", running, "--pause")
    assert done.exit_code == 1
    assert "is being cancelled" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    ("arguments", "says"),
    [
        (("jobs", "ftjob-none"), "No such fine-tuning job: ftjob-none"),
        (("jobs", "ftjob-none", "--cancel"), "`everloop jobs` lists"),
        (("aliases", "nobody"), "No such alias: nobody. What to do: `everloop aliases` lists"),
        (("rollback", "--alias", "nobody"), "`everloop aliases` lists"),
        (("promote", "ft:x:1", "--gate", "gate_1"), "no gate run 'gate_1'"),
        (("promote", "ft:x:1", "--override", "--reason", "x"), "`everloop adapters` lists"),
        (("gate", "gate_none"), "No such gate run: gate_none"),
    ],
)
def test_what_is_not_there_is_named_with_where_to_look(
    gateway: Gateway, arguments: tuple[str, ...], says: str
) -> None:
    done = everloop(gateway, *arguments)
    assert (done.exit_code, done.stdout) == (1, "")
    assert says in " ".join(done.stderr.split())


def test_adapters_are_listed_with_what_points_at_them(gateway: Gateway) -> None:
    assert everloop(gateway, "adapters").stdout.startswith("No adapter yet")
    adapter = add_adapter(gateway.database, gateway.storage)
    everloop(gateway, "promote", adapter, "--override", "--reason", "a test")
    lines = everloop(gateway, "adapters").stdout.splitlines()
    assert lines[0].split() == ["adapter", "kind", "MiB", "job", "aliases", "made"]
    assert lines[1].split()[:5] == [adapter, "lora", "0.0", "ftjob-1", "assistant"]
    found = json.loads(everloop(gateway, "adapters", "--json").stdout)
    assert found["data"][0]["id"] == adapter


def test_aliases_are_listed_and_their_moves(gateway: Gateway) -> None:
    lines = everloop(gateway, "aliases").stdout.splitlines()
    assert lines[1].split() == ["assistant", BASE, "0", "-"]
    assert everloop(gateway, "aliases", "assistant").stdout == "assistant has not moved.\n"
    adapter = add_adapter(gateway.database, gateway.storage)
    everloop(gateway, "promote", adapter, "--override", "--reason", "it is [bold] better")
    everloop(gateway, "rollback", "--reason", "it is not")
    lines = everloop(gateway, "aliases", "assistant").stdout.splitlines()
    assert lines[0].split() == ["move", "how", "from", "to", "why", "at"]
    assert lines[1].split()[:5] == ["2", "rollback", adapter, BASE, "it"]
    assert "it is [bold] better" in lines[2]
    found = json.loads(everloop(gateway, "aliases", "assistant", "--json").stdout)
    assert [move["kind"] for move in found["data"]] == ["rollback", "override"]


def test_a_gate_s_word_promotes(gateway: Gateway) -> None:
    adapter = add_adapter(gateway.database, gateway.storage)
    gate = add_gate(gateway, adapter)
    done = everloop(gateway, "promote", adapter, "--gate", gate)
    assert done.exit_code == 0, done.output
    lines = done.stdout.splitlines()
    assert lines[0] == f"assistant answers by {adapter} (was {BASE})"
    assert lines[1].startswith("loaded on 1 replica(s) before, in ")


def test_a_gate_that_does_not_say_so_does_not_promote(gateway: Gateway) -> None:
    adapter = add_adapter(gateway.database, gateway.storage)
    gate = add_gate(gateway, adapter, verdict="inconclusive")
    done = everloop(gateway, "promote", adapter, "--gate", gate)
    assert done.exit_code == 1
    assert "its verdict is inconclusive, not promote" in " ".join(done.stderr.split())


@pytest.mark.parametrize(
    "arguments",
    [(), ("--override",), ("--reason", "x"), ("--gate", "gate_1", "--override", "--reason", "x")],
)
def test_promoting_takes_a_gate_or_an_override_with_a_reason(
    gateway: Gateway, arguments: tuple[str, ...]
) -> None:
    done = everloop(gateway, "promote", BASE, *arguments)
    assert done.exit_code == 2
    assert "--gate" in done.stderr
    assert "--override with a --reason" in done.stderr
    assert json.loads(everloop(gateway, "aliases", "--json").stdout)["data"][0]["version"] == 0


def test_rollback_takes_moves_back(gateway: Gateway) -> None:
    one, two = (add_adapter(gateway.database, gateway.storage, w) for w in (b"one", b"two"))
    for adapter in (one, two):
        everloop(gateway, "promote", adapter, "--override", "--reason", "a test")
    done = everloop(gateway, "rollback")
    assert done.stdout.splitlines()[0] == f"assistant answers by {one} (was {two})"
    moved = json.loads(everloop(gateway, "rollback", "--json").stdout)
    assert (moved["target"], moved["previous"]) == (BASE, one)
    done = everloop(gateway, "rollback")
    assert done.exit_code == 1
    assert "has 0 move(s) to take back, not 1" in " ".join(done.stderr.split())
    for adapter in (one, two):
        everloop(gateway, "promote", adapter, "--override", "--reason", "a test")
    assert BASE in everloop(gateway, "rollback", "--steps", "2").stdout


def test_a_gate_run_is_shown_with_its_reasons(gateway: Gateway) -> None:
    gate = add_gate(gateway, "ft:tiny:1", promoted=True)
    assert everloop(gateway, "gate", gate).stdout.splitlines() == [
        f"{gate}: completed, ft:tiny:1 against {BASE}",
        "verdict: promote, promoted",
        "  pass     Trained and served weights agree.",
        f"  pass     {REASON}",
    ]
    found = json.loads(everloop(gateway, "gate", gate, "--json").stdout)
    assert found["report"] == REPORT


def test_a_gate_run_s_page_is_saved(gateway: Gateway, tmp_path: Path) -> None:
    page = "<html>né</html>"
    gateway.storage.put("proj_default/gates/page.html", [page.encode()])
    gate = add_gate(gateway, "ft:tiny:1", page_key="proj_default/gates/page.html")
    path = tmp_path / "gate.html"
    done = everloop(gateway, "gate", gate, "--page", str(path))
    assert done.exit_code == 0, done.output
    assert path.read_text(encoding="utf-8") == page
    assert done.stdout.splitlines()[-1] == f"page: {path}"
    done = everloop(gateway, "gate", gate, "--page", str(tmp_path / "none" / "gate.html"))
    assert done.exit_code == 2
    assert "a folder that there is" in " ".join(done.stderr.split())


def test_a_gate_run_without_an_end_has_no_page_and_says_what_it_does(
    gateway: Gateway, tmp_path: Path
) -> None:
    gate = add_gate(
        gateway, "ft:tiny:1", status="running", verdict=None, report=None, champion=None
    )
    assert everloop(gateway, "gate", gate).stdout == f"{gate}: running, ft:tiny:1 against -\n"
    done = everloop(gateway, "gate", gate, "--page", str(tmp_path / "gate.html"))
    assert done.exit_code == 1
    assert "is running and has no page yet" in " ".join(done.stderr.split())
    failed = add_gate(
        gateway,
        "ft:tiny:1",
        status="failed",
        verdict=None,
        report=None,
        error={"code": "gate_failed", "message": "No items."},
    )
    assert everloop(gateway, "gate", failed).stdout.splitlines()[-1] == "error: No items."


def test_a_narrow_console_breaks_no_identifier(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch
) -> None:
    adapter = add_adapter(gateway.database, gateway.storage)
    job_id = add_job(gateway, status="succeeded", adapter_id=adapter)
    everloop(gateway, "promote", adapter, "--override", "--reason", "a test")
    monkeypatch.setenv("COLUMNS", "40")
    lines = everloop(gateway, "jobs").stdout.splitlines()
    assert lines[:4] == [job_id, "  status: succeeded", f"  model: {BASE}", f"  adapter: {adapter}"]
    lines = everloop(gateway, "adapters").stdout.splitlines()
    assert (lines[0], lines[4]) == (adapter, "  aliases: assistant")
    assert f"  to: {adapter}" in everloop(gateway, "aliases", "assistant").stdout.splitlines()


@pytest.mark.parametrize(
    ("columns", "lines"),
    [
        (
            "60",
            [
                "  pass     The candidate is right on 412 of 500 held-out",
                "           items and the champion on 31 of them.",
            ],
        ),
        (
            "40",
            [
                "  pass",
                "    The candidate is right on 412 of 500",
                "    held-out items and the champion on",
                "    31 of them.",
            ],
        ),
    ],
)
def test_a_reason_wraps_under_itself(
    gateway: Gateway, monkeypatch: pytest.MonkeyPatch, columns: str, lines: list[str]
) -> None:
    monkeypatch.setenv("FORCE_COLOR", "1")  # a terminal
    monkeypatch.setenv("COLUMNS", columns)
    gate = add_gate(gateway, "ft:tiny:1")
    assert everloop(gateway, "gate", gate).stdout.splitlines()[-len(lines) :] == lines
