"""What `everloop experiments` does, over HTTP."""

import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

import yaml
from rich.console import Console

from cluster.client import connected
from cluster.errors import SettingsError
from cluster.terminal import print_json
from deployments.experiments.terminal import (
    print_events,
    print_experiment,
    print_experiments,
    said_of,
)

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = ["changed", "create", "events", "listed", "offline", "promote", "show"]

_LOOK_S: Final = 1.0
_OVER: Final = ("decided", "stopped")


def create(path: Path, *, start: bool, base_url: str | None, as_json: bool) -> None:
    """Make an experiment of a YAML file. Raises SettingsError where that cannot be read."""
    body = {**_read(path), **({"start": True} if start else {})}
    with _client(base_url) as client:
        made: Any = client.post("/experiments", body=body, cast_to=object)
    _tell(made, as_json=as_json)


def listed(*, base_url: str | None, as_json: bool) -> None:
    """List experiments, newest first."""
    with _client(base_url) as client:
        found: Any = client.get("/experiments?limit=100", cast_to=object)
    if as_json:
        print_json(found)
    elif found["data"]:
        print_experiments(Console(), found["data"])
    else:
        print("No experiment yet: `everloop experiments create FILE.yaml` makes one.")


def show(experiment_id: str, *, follow: bool, base_url: str | None, as_json: bool) -> None:
    """Show an experiment as it stands, or until it ends."""
    console = Console()
    with _client(base_url) as client:
        while True:
            found: Any = client.get(f"/experiments/{experiment_id}", cast_to=object)
            if as_json:
                print_json(found)
                return
            if follow and console.is_terminal:
                console.clear()
            print_experiment(console, found)
            if not follow or found["status"] in _OVER:
                return
            time.sleep(_LOOK_S)


def changed(
    experiment_id: str, path: str, body: dict[str, Any], *, base_url: str | None, as_json: bool
) -> None:
    """Start, stop or ramp."""
    with _client(base_url) as client:
        found: Any = client.post(f"/experiments/{experiment_id}/{path}", body=body, cast_to=object)
    _tell(found, as_json=as_json)


def promote(
    experiment_id: str,
    arm: str | None,
    reason: str | None,
    *,
    base_url: str | None,
    as_json: bool,
) -> None:
    """Move the alias to an arm by a person's word."""
    given = {"arm": arm, "reason": reason}
    body = {name: value for name, value in given.items() if value is not None}
    with _client(base_url) as client:
        moved: Any = client.post(f"/experiments/{experiment_id}/promote", body=body, cast_to=object)
    if as_json:
        print_json(moved)
        return
    prompt = moved["serving"].get("prompt")
    with_prompt = f" with the prompt {prompt}" if prompt else ""
    print(f"{moved['id']} answers by {moved['target']}{with_prompt}")


def events(experiment_id: str, *, base_url: str | None, as_json: bool) -> None:
    """List what happened."""
    path = f"/experiments/{experiment_id}/events?limit=100&order=asc"
    with _client(base_url) as client:
        found: Any = client.get(path, cast_to=object)
    if as_json:
        print_json(found)
    else:
        print_events(Console(), found["data"])


def offline(
    experiment_id: str, path: Path, *, out: Path | None, base_url: str | None, as_json: bool
) -> None:
    """Run a suite once for each arm, and compare each with the control.

    Raises SuiteError for the suite, ApiError where a run failed.
    """
    from deployments.evaluation.comparison.report import ComparisonReport
    from deployments.evaluation.reports.tables import comparison_table
    from deployments.evaluation.suites.reading import read_suite
    from deployments.evaluation.suites.service import EvalService
    from deployments.experiments.offline import compare_arms

    loaded = read_suite(path)
    with _client(base_url) as client:
        found: Any = client.get(f"/experiments/{experiment_id}", cast_to=object)
        service = EvalService(client)
        names = [str(arm["name"]) for arm in found["arms"]]
        compared = compare_arms(service, experiment_id, names, loaded, Console(stderr=True))
        if out is not None:
            out.mkdir(parents=True, exist_ok=True)
            for one in compared:
                page = service.comparison_page(str(one.comparison["id"]))
                (out / f"{one.arm}.html").write_text(page, encoding="utf-8")
    if as_json:
        print_json([{"arm": one.arm, "run": one.run_id, **one.comparison} for one in compared])
        return
    for one in compared:
        print(f"{one.arm} against {names[0]}")
        report = ComparisonReport.model_validate(one.comparison["report"])
        Console().print(comparison_table(report), highlight=False)


def _read(path: Path) -> dict[str, Any]:
    try:
        found = yaml.safe_load(path.read_text(encoding="utf-8"))
    except (OSError, UnicodeDecodeError, yaml.YAMLError) as error:
        raise SettingsError(f"{path} cannot be read: {error}.") from error
    if not isinstance(found, dict):
        raise SettingsError(
            f"{path} holds no experiment.", fix="It needs `alias`, `arms` and `settings`."
        )
    return found


def _tell(experiment: dict[str, Any], *, as_json: bool) -> None:
    if as_json:
        print_json(experiment)
    else:
        print(said_of(experiment))


@contextmanager
def _client(base_url: str | None) -> Iterator["OpenAI"]:
    with connected(base_url) as client:
        yield client.with_options(max_retries=0)  # openai's own would try each 409 again
