"""A gate run in its own process: from its row to a verdict, and to the promotion that it allows.

    python -m training.queue.gate_job --queued gate_… --attempt 1    (how the Trainer starts one)

Exit status: 0 a verdict was reached, 1 it could not be, 2 another attempt counts.
"""

import argparse
import sys
from collections.abc import Sequence
from typing import Any, Final

from cluster.adapters import ADAPTER_PREFIX, AdapterFiles, fetch_adapter
from cluster.client import openai_client, translated_errors
from cluster.database import Database
from cluster.errors import DatabaseError, EverloopError, StorageError, UnreachableError
from cluster.handed_environment import take_over
from cluster.internal_tokens import InternalTokens
from cluster.models import ensure_model
from cluster.records import Adapter, GateRun, now
from cluster.settings import Settings, load_settings
from cluster.storage import ByteStore
from cluster.tenancy import acting_in, acting_project
from training.errors import GateError, SupersededError
from training.gate.gate import run_gate
from training.gate.http_service import HttpService
from training.gate.report import GateReport
from training.gate.settings import GateSettings
from training.queue.contenders import asked_with, contenders
from training.queue.files import JobFiles
from training.queue.ledger import Attempt, job_event
from training.queue.reporting import Reporter
from training.queue.told_paths import told_paths

__all__ = ["main", "run_queued_gate"]

_FAILED: Final = 1
_SUPERSEDED: Final = 2


def main(arguments: Sequence[str] | None = None) -> int:
    """Run the command; the module's docstring lists the exit statuses."""
    parser = argparse.ArgumentParser(
        prog="training.queue.gate_job",
        description=__doc__,
        formatter_class=argparse.RawDescriptionHelpFormatter,
    )
    parser.add_argument("--queued", metavar="ID", required=True, help="a gate run of the service")
    parser.add_argument("--attempt", type=int, default=1, help="number of its attempt")
    options = parser.parse_args(arguments)
    try:
        take_over()
        verdict = run_queued_gate(load_settings(), options.queued, options.attempt)
    except SupersededError as error:
        print(error, file=sys.stderr)
        return _SUPERSEDED
    except EverloopError as error:
        print(error, file=sys.stderr)
        return _FAILED
    print(f"{options.queued}: {verdict}")
    return 0


def run_queued_gate(settings: Settings, gate_id: str, number: int) -> str:
    """Run attempt `number` of a gate run; answers its verdict.

    Raises SupersededError where another attempt counts. Where records, bytes or the service do not
    answer, that error is raised and the queue starts the run again; another is in the row too.
    """
    database = Database(settings.database_url, settings.database.pool_size)
    try:
        attempt = Attempt(database, "gate", gate_id, number)
        row = attempt.begin()
        assert isinstance(row, GateRun)  # noqa: S101 - of this kind
        gate = _Gate(settings, database, attempt, row)
        try:
            with acting_in(row.project_id):
                return gate.run()
        except (SupersededError, DatabaseError, StorageError, UnreachableError):
            raise  # not of the gate's making
        except EverloopError as error:
            said = told_paths(str(error), settings)
            attempt.write(
                {
                    "status": "failed",
                    "error": {"code": "gate_failed", "message": said, "param": None},
                    "finished_at": now(),
                },
                *gate.told(f"The gate {gate_id} failed: {said}", "error"),
            )
            raise
    finally:
        database.close()


class _Gate:
    def __init__(
        self, settings: Settings, database: Database, attempt: Attempt, row: GateRun
    ) -> None:
        self._settings = settings
        self._database = database
        self._attempt = attempt
        self._row = row
        self._store = ByteStore(settings.storage_url, settings.storage.options)
        self._folder = settings.runs_folder / "gates" / row.id
        tokens = InternalTokens.of(settings)
        self._key = lambda: tokens.mint(row.project_id, ("inference", "training"))

    def run(self) -> str:
        row, settings = self._row, self._settings
        alias = self._alias()
        target, version = str(alias["target"]), int(alias["version"])
        with self._database.session(read_only=True) as session:
            candidate, champion = contenders(session, row, target, version)
        weights = candidate.weights or candidate.model
        base_id, adapter_folder = weights, None
        if weights.startswith(ADAPTER_PREFIX):
            adapter = self._adapter(weights)
            base_id, adapter_folder = adapter.base, self._folder / "adapter"
            fetch_adapter(self._store, AdapterFiles.of_json(adapter.files), adapter_folder)
        base = next((model for model in settings.models if model.id == base_id), None)
        if base is None:
            raise GateError(
                f"{candidate.model} needs the model {base_id}, which is not served.",
                fix=f"Served are: {', '.join(model.id for model in settings.models)}.",
            )
        files = JobFiles(self._database, self._store)
        data = files.fetch(row.evaluation_file, self._folder)
        self._attempt.write({"champion": target})
        plan = GateSettings.model_validate(row.settings)
        with Reporter(self._attempt) as reporter:

            def say(line: str) -> None:
                print(line, flush=True)
                if reporter.superseded:
                    raise SupersededError(f"Another process runs {row.id} now.")

            report = run_gate(
                candidate,
                champion,
                data,
                plan,
                HttpService(
                    settings.base_url,
                    self._key,
                    retries=plan.retries,
                    timeout_s=plan.request_timeout_s,
                    more=asked_with(row, alias.get("serving") or {}, plan.file_search),
                ),
                ensure_model(base.source, settings.cache_dir),
                adapter_folder,
                say,
            )
        self._write(report)
        outcome = report.verdict.outcome
        if outcome == "promote":
            self._promote()
        return outcome

    def told(self, message: str, level: str = "info") -> list[Any]:
        """An event for the job that asked for the gate, if one did."""
        job_id = self._row.job_id
        return [] if job_id is None else [job_event(job_id, message, level=level)]

    def _adapter(self, adapter_id: str) -> Adapter:
        with self._database.session(read_only=True) as session:
            row = session.get(Adapter, adapter_id)
        if row is None or row.deleted_at is not None:
            raise GateError(f"The adapter {adapter_id} does not exist any more.")
        return row

    def _alias(self) -> dict[str, Any]:
        """What the alias answers by now, with what, and how often it has moved."""
        url = self._settings.base_url
        with translated_errors(url), openai_client(url, key=self._key) as client:
            found: Any = client.get(f"/aliases/{self._row.alias}", cast_to=object)
        return dict(found)

    def _write(self, report: GateReport) -> None:
        key = f"{acting_project()}/gates/{self._row.id}.html"
        self._store.put(key, [report.page().encode()])
        verdict = report.verdict
        self._attempt.write(
            {
                "status": "completed",
                "verdict": verdict.outcome,
                "report": report.model_dump(mode="json"),
                "page_key": key,
                "finished_at": now(),
            },
            *self.told(f"The gate says {verdict.outcome}: {verdict.gist}"),
        )

    def _promote(self) -> None:
        """Move the alias. Where that fails, the verdict stands and the row says why."""
        row, url = self._row, self._settings.base_url
        body = {"target": row.adapter_id, "gate": row.id}
        try:
            with translated_errors(url), openai_client(url, key=self._key) as client:
                client.post(f"/aliases/{row.alias}/promote", body=body, cast_to=object)
        except EverloopError as error:
            said = told_paths(str(error), self._settings)
            self._note({"code": "promotion_failed", "message": said, "param": None})
            print(f"not promoted: {error}", file=sys.stderr)
            return
        with self._database.session() as session:
            for event in self.told(f"The alias {row.alias} answers by {row.adapter_id} now."):
                session.add(event)

    def _note(self, error: dict[str, Any]) -> None:
        with self._database.session() as session:
            row = session.get(GateRun, self._row.id)
            if row is not None:
                row.error = error
            for event in self.told(f"Not promoted: {error['message']}", "warn"):
                session.add(event)


if __name__ == "__main__":
    sys.exit(main())
