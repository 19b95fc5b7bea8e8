"""`everloop train`: upload, start a job, and follow it to its end."""

import json
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any, Final

from rich.console import Console
from rich.progress import Progress

from cluster.cli.checks import print_checks
from cluster.cli.exits import FAILED
from cluster.cli.versions import translated_misses
from cluster.client import connected
from cluster.errors import SettingsError
from cluster.paging import pages_of
from cluster.progress import run_columns
from cluster.yaml_file import read_mapping

if TYPE_CHECKING:
    from openai import OpenAI

__all__ = ["TrainRequest", "follow_job", "run_train", "run_watch"]

_POLL_S: Final = 1.0
_ENDED: Final = frozenset({"succeeded", "failed", "cancelled", "paused"})
_GATE_ENDED: Final = frozenset({"completed", "failed", "cancelled"})
_OF_A_JOB: Final = (
    "Give a YAML file with `training`, `gate` and other fields of a fine-tuning job, by name."
)


class TrainRequest:
    """What the command line asks for."""

    def __init__(
        self,
        data: Path,
        *,
        validation: Path | None = None,
        evaluation: Path | None = None,
        model: str | None = None,
        method: str = "supervised",
        epochs: int | None = None,
        suffix: str | None = None,
        alias: str | None = None,
        config: Path | None = None,
        seed: int | None = None,
        columns: str | None = None,
    ) -> None:
        self.data = data
        self.validation = validation
        self.evaluation = evaluation
        self.model = model
        self.method = method
        self.epochs = epochs
        self.suffix = suffix
        self.alias = alias
        self.config = config
        self.seed = seed
        self.columns = columns

    @property
    def files(self) -> dict[str, Path]:
        """By the field of the job. Raises SettingsError that names one that is not there."""
        named = {
            "training_file": self.data,
            "validation_file": self.validation,
            "evaluation_file": self.evaluation,
        }
        found = {field: path for field, path in named.items() if path is not None}
        for path in found.values():
            if not path.is_file():
                raise SettingsError(
                    f"There is no file {path}.",
                    fix="Give the path of a JSON Lines, CSV or Parquet file.",
                )
        return found

    def body(self, tree: dict[str, Any], files: dict[str, str], model: str) -> dict[str, Any]:
        """The body of `POST /v1/fine_tuning/jobs`; `tree` is what the config file holds."""
        hyperparameters = {} if self.epochs is None else {"n_epochs": self.epochs}
        body: dict[str, Any] = {
            "model": model,
            "method": {"type": self.method, self.method: {"hyperparameters": hyperparameters}},
            "training": {},
            **tree,
            **files,
        }
        for name in ("suffix", "alias", "seed"):
            if (value := getattr(self, name)) is not None:
                body[name] = value
        return body


def run_train(
    request: TrainRequest, base_url: str | None, *, follow: bool, as_json: bool
) -> int | None:
    """Upload the files, make the job, and follow it unless told not to."""
    console = Console(stderr=True)
    paths, tree = request.files, _read_config(request.config)
    with connected(base_url) as client:
        files = {
            field: _upload(client, path, request.columns, console) for field, path in paths.items()
        }
        model = request.model or next(iter(client.models.list())).id
        body = request.body(tree, files, model)
        job: Any = client.post("/fine_tuning/jobs", body=body, cast_to=object)
        console.print(f"Job {job['id']} on {job['model']}.", highlight=False)
        if not follow:
            print(json.dumps(job, indent=2) if as_json else job["id"])
            return None
        return follow_job(client, job["id"], console, as_json=as_json)


def run_watch(job_id: str, base_url: str | None, *, as_json: bool) -> int | None:
    """Follow a job that is there."""
    with translated_misses("job"), connected(base_url) as client:
        return follow_job(client, job_id, Console(stderr=True), as_json=as_json)


def follow_job(client: "OpenAI", job_id: str, console: Console, *, as_json: bool) -> int | None:
    """Show what a job tells until it and its gate have ended. Ctrl-C leaves it running."""
    try:
        job = _watch(client, job_id, console)
        gate = _watch_gate(client, job["gate_run"], console) if job.get("gate_run") else None
    except KeyboardInterrupt:
        console.print(
            f"\nThe job goes on. `everloop jobs {job_id}` follows it again; "
            f"`everloop jobs {job_id} --cancel` ends it at a checkpoint."
        )
        raise
    if as_json:
        print(json.dumps({"job": job, "gate_run": gate}, indent=2, ensure_ascii=False))
    else:
        _conclude(job, gate)
    good = job["status"] == "succeeded" and (gate is None or gate["status"] == "completed")
    return None if good else FAILED


def _watch(client: "OpenAI", job_id: str, console: Console) -> dict[str, Any]:
    seen: str | None = None
    said = 0
    columns = run_columns(console.width)
    with Progress(*columns, console=console, transient=True) as progress:
        task = progress.add_task("", total=None, loss="-", rate="-", visible=False)
        while True:
            job: Any = client.get(f"/fine_tuning/jobs/{job_id}", cast_to=object)
            wanted = {"order": "asc", "after": seen}
            for event in pages_of(client, f"/fine_tuning/jobs/{job_id}/events", wanted):
                seen = event["id"]
                data = event["data"]
                if event["type"] == "message":
                    progress.console.print(event["message"], highlight=False, markup=False)
                elif "train_loss" in data and not progress.console.is_terminal:
                    tenth = 10 * data["step"] // data["total_steps"]
                    if tenth != said:
                        said = tenth
                        rate = data.get("tokens_per_second") or 0
                        progress.console.print(
                            f"{event['message']}, {rate:.0f} tokens/s", highlight=False
                        )
                elif "train_loss" in data:
                    progress.update(
                        task,
                        completed=data["step"],
                        total=data["total_steps"],
                        loss=f"{data['train_loss']:.4f}",
                        rate=f"{data.get('tokens_per_second') or 0:.0f}",
                        visible=True,
                    )
                else:
                    progress.console.print(event["message"], highlight=False, markup=False)
            if job["status"] in _ENDED:
                return dict(job)
            time.sleep(_POLL_S)


def _watch_gate(client: "OpenAI", gate_id: str, console: Console) -> dict[str, Any]:
    with console.status(f"gate {gate_id}"):
        while True:
            gate: Any = client.get(f"/gate_runs/{gate_id}", cast_to=object)
            if gate["status"] in _GATE_ENDED:
                return dict(gate)
            time.sleep(_POLL_S)


def _conclude(job: dict[str, Any], gate: dict[str, Any] | None) -> None:
    said = job["fine_tuned_model"] or (job["error"] or {}).get("message", "")
    if job["status"] == "paused":
        said = f"`everloop jobs {job['id']} --resume` goes on"
    print(f"{job['status']}: {said}" if said else job["status"])
    if gate is None:
        return
    if gate["status"] != "completed":
        print(f"gate {gate['status']}: {(gate['error'] or {}).get('message', '')}")
        return
    print(f"gate: {gate['verdict']}")
    print_checks(gate)
    answers = "answers by it now" if gate["promoted"] else "is as it was"
    print(f"{gate['alias']} {answers}. The whole report: everloop gate {gate['id']}")


def _upload(client: "OpenAI", path: Path, columns: str | None, console: Console) -> str:
    extra = {} if columns is None else {"columns": columns}
    with path.open("rb") as file:
        made = client.files.create(file=file, purpose="fine-tune", extra_body=extra)
    console.print(f"Uploaded {path} as {made.id}.", highlight=False)
    return made.id


def _read_config(path: Path | None) -> dict[str, Any]:
    if path is None:
        return {}
    return read_mapping(path, "The config", SettingsError, fix=_OF_A_JOB)
