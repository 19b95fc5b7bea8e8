"""`everloop experiments` against the real gateway."""

import json
from pathlib import Path
from typing import Any

import pytest
from typer.testing import CliRunner, Result

from cluster.cli.app import app
from cluster.records import Experiment
from deployments.experiments.arms import Arm
from deployments.experiments.plan import Plan
from deployments.experiments.watch import Watch
from tests.deployments.experiments.test_watch import seen
from tests.fixtures.gateway import Gateway

pytestmark = pytest.mark.parametrize("database", ["sqlite"], indirect=True)

FILE = """\
name: lexical search
alias: assistant
arms:
  - {name: control}
  - {name: lexical, retrieval: {mode: bm25}}
settings:
  metric: {name: "trace:latency_ms", high: 1000, wait_s: 10}
"""


@pytest.fixture(autouse=True)
def _own_environment(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("EVERLOOP_DATA_DIR", str(tmp_path / "own"))
    monkeypatch.setenv("NO_COLOR", "1")
    monkeypatch.setenv("COLUMNS", "60")


@pytest.fixture
def file(tmp_path: Path) -> Path:
    path = tmp_path / "experiment.yaml"
    path.write_text(FILE)
    return path


def everloop(gateway: Gateway, *arguments: str | Path) -> Result:
    given = ["experiments", *map(str, arguments), "--base-url", gateway.url]
    return CliRunner().invoke(app, given)


def made(gateway: Gateway, file: Path, *options: str) -> str:
    found: dict[str, Any] = json.loads(everloop(gateway, "create", file, *options, "--json").stdout)
    return str(found["id"])


def reported(gateway: Gateway, experiment: str) -> None:
    """Write the report that some requests come to."""
    with gateway.database.session() as session:
        row = session.get_one(Experiment, experiment)
        arms = [Arm.model_validate(arm) for arm in row.arms]
        watch = Watch(arms, Plan.model_validate(row.settings), 1_800_000_000.0)
        names = [arm.name for arm in arms]
        asked = [seen(n, names[n % 2], latency_ms=100.0 + 50 * (n % 2)) for n in range(40)]
        watch.see(asked)
        watch.settle(watch.due(1_900_000_000.0), {one.id: one.latency_ms for one in asked})
        ratio = watch.ratio()
        row.report = {"at": 1, **watch.report(ratio, watch.decide(ratio_alarm=ratio.alarm))}


def test_an_experiment_from_its_file_to_its_end(gateway: Gateway, file: Path) -> None:
    assert "No experiment yet" in everloop(gateway, "list").stdout
    result = everloop(gateway, "create", file)
    assert result.exit_code == 0, result.output
    experiment = result.stdout.split()[0]
    assert result.stdout == f"{experiment} is draft\n"
    started = everloop(gateway, "start", experiment)
    assert started.stdout == f"{experiment} is running, 100% of assistant\n"
    assert "nothing was seen of them yet" in everloop(gateway, "show", experiment).stdout
    reported(gateway, experiment)
    shown = everloop(gateway, "show", experiment).stdout
    assert "trace:latency_ms: 150" in shown
    assert "40 of 40 users have a value; about" in shown
    assert "errors: 0.0%" in shown
    assert everloop(gateway, "ramp", experiment, "0.5").stdout.endswith("50% of assistant\n")
    stopped = everloop(gateway, "stop", experiment, "--arm", "lexical", "--reason", "too slow")
    assert stopped.stdout == f"{experiment} is stopped: All were stopped.\n"
    assert "lexical was stopped: too slow" in everloop(gateway, "show", experiment).stdout
    events = everloop(gateway, "events", experiment).stdout
    assert [word for word in ("created", "started", "ramped", "arm_stopped") if word in events] == [
        "created",
        "started",
        "ramped",
        "arm_stopped",
    ]
    listed = json.loads(everloop(gateway, "list", "--json").stdout)
    assert [row["id"] for row in listed["data"]] == [experiment]


def test_an_arm_is_promoted_by_a_person(gateway: Gateway, file: Path) -> None:
    experiment = made(gateway, file, "--start")
    too_early = everloop(gateway, "promote", experiment)
    assert too_early.exit_code == 1
    assert "is running, not decided or stopped" in " ".join(too_early.output.split())
    everloop(gateway, "stop", experiment, "--reason", "enough")
    moved = everloop(gateway, "promote", experiment, "--arm", "lexical", "--reason", "we like it")
    assert moved.stdout == "assistant answers by smollm2-135m-instruct\n", moved.output


def test_following_ends_with_the_experiment(gateway: Gateway, file: Path) -> None:
    experiment = made(gateway, file, "--start")
    everloop(gateway, "stop", experiment, "--reason", "enough")
    followed = everloop(gateway, "show", experiment, "--follow")
    assert followed.exit_code == 0
    assert f"{experiment} is stopped: enough" in followed.stdout
    assert everloop(gateway, "show", experiment, "--follow", "--json").exit_code == 2


@pytest.mark.parametrize(
    ("text", "says"), [("- a", "holds no experiment"), ("a: [", "cannot be read")]
)
def test_a_file_that_holds_none_is_a_usage_error(
    gateway: Gateway, file: Path, text: str, says: str
) -> None:
    file.write_text(text)
    result = everloop(gateway, "create", file)
    assert result.exit_code == 2
    assert says in result.output


def test_what_the_service_refuses_is_told_with_its_field(gateway: Gateway, file: Path) -> None:
    file.write_text(FILE.replace("high: 1000, ", ""))
    result = everloop(gateway, "create", file)
    assert result.exit_code == 1
    assert "its largest value that counts" in " ".join(result.output.split())
