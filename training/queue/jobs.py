"""A fine-tuning job in its own process: from its row to an adapter version, or to why not."""

import json
import signal
import threading
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager
from importlib.metadata import version
from types import FrameType
from typing import Any

from cluster.database import Database
from cluster.errors import DatabaseError, EverloopError, StorageError
from cluster.ids import new_id
from cluster.records import FineTuningJob, GateRun, now
from cluster.settings import Settings
from cluster.storage import ByteStore
from cluster.tenancy import acting_in
from training.data.columns import Columns
from training.errors import SupersededError
from training.preflight import PreparedRun, prepare_run
from training.progress import News, StepDone
from training.queue.adapters import AdapterSource, CheckpointShelf, base_revision, came_to
from training.queue.curves import metrics_csv
from training.queue.files import JobFiles
from training.queue.ledger import Attempt, job_event
from training.queue.reporting import Reporter
from training.queue.told_paths import told_paths
from training.report import RunReport
from training.running import run_training
from training.settings import TrainingSettings
from training.terminal import Terminal

__all__ = ["run_queued_job"]


def run_queued_job(
    settings: Settings, job_id: str, number: int, connect: Callable[[], None]
) -> str:
    """Run the job's attempt `number` to its end; answers the status that the job has then.

    Raises SupersededError where another attempt counts. What the job did wrong is told in its row;
    other errors are raised, and the queue starts the job again.
    """
    database = Database(settings.database_url, settings.database.pool_size)
    try:
        attempt = Attempt(database, "job", job_id, number)
        row = attempt.begin()
        assert isinstance(row, FineTuningJob)  # noqa: S101 - of this kind
        store = ByteStore(settings.storage_url, settings.storage.options)
        job = _Job(settings, attempt, row, JobFiles(database, store), store, connect)
        try:
            with acting_in(row.project_id):
                return job.run()
        except (SupersededError, DatabaseError, StorageError):
            raise  # not of the job's making
        except EverloopError as error:
            if job.terminated:  # its workers may have been ended too
                raise
            said = told_paths(str(error), settings)
            attempt.write(
                {
                    "status": "failed",
                    "error": {"code": _code(error), "message": said, "param": None},
                    "finished_at": now(),
                    "estimated_finish": None,
                    "wish": None,
                },
                job_event(job_id, said, level="error"),
            )
            return "failed"
    finally:
        database.close()


class _StopWanted(Exception):
    """Somebody wishes the run to stop, or its process must end, and it has not begun yet."""


class _Job:
    def __init__(
        self,
        settings: Settings,
        attempt: Attempt,
        row: FineTuningJob,
        files: JobFiles,
        store: ByteStore,
        connect: Callable[[], None],
    ) -> None:
        self._settings = settings
        self._attempt = attempt
        self._row = row
        self._files = files
        self._store = store
        self._connect = connect
        self._folder = settings.runs_folder / row.id
        self._reporter = Reporter(attempt, self._look)
        self._shelf: CheckpointShelf | None = None
        self._first_step: int | None = None
        self._further = False

    @property
    def terminated(self) -> bool:
        """Whether the process was asked to end."""
        return self._reporter.terminated

    def run(self) -> str:
        reporter = self._reporter
        with reporter, _terminated(reporter):
            reporter.say(f"Attempt {self._row.attempts}: reading the data.")
            trained = self._trained()
        if reporter.superseded:
            raise SupersededError(f"Another process runs {self._row.id} now.")
        reporter.flush()
        if trained is None:
            return self._stopped({}, note=" before its training began")
        return self._end(*trained)

    def _trained(self) -> tuple[PreparedRun, RunReport] | None:
        """None where a wish to stop was heard before the training began."""
        try:
            run = self._prepared()
        except _StopWanted:
            return None
        told = _Told(self._reporter)
        return run, run_training(run, told, self._reporter.stopping, hear=self._hear)

    def _prepared(self) -> PreparedRun:
        training = self._training_settings()
        run = prepare_run(
            training,
            self._settings.cache_dir,
            say=print,
            connect=self._connect,
            heed=self._heed,
        )
        if training.workers.max:
            self._connect()
        source = self._source(run)
        if training.adapter.kind != "full":
            self._shelf = CheckpointShelf(self._store, training.folder, source)
        self._heed()
        return run

    def _heed(self) -> None:
        if self._reporter.stopping():
            raise _StopWanted

    def _hear(self, news: News) -> None:
        if self._first_step is None and isinstance(news, StepDone):
            self._first_step = news.step
        self._reporter.hear(news)

    def _look(self) -> list[Any]:
        records = [] if self._shelf is None else self._shelf.look()
        if self._first_step is not None and not self._further:
            self._further = came_to(self._folder, self._first_step)
            if self._further:  # than the attempt before
                self._reporter.change("crashes", 0)
        return records

    def _training_settings(self) -> TrainingSettings:
        """The row's, over files that lie in the run's folder."""
        data = self._folder / "data"
        settings = TrainingSettings.model_validate(self._row.settings)
        changes: dict[str, Any] = {"train": self._files.fetch(self._row.training_file, data)}
        if self._row.validation_file is not None:
            changes["validation"] = self._files.fetch(self._row.validation_file, data)
        if settings.data.evaluation is not None and self._row.evaluation_file is not None:
            changes["evaluation"] = self._files.fetch(self._row.evaluation_file, data)
        mapping = self._files.record(self._row.training_file).meta.get("columns")
        if settings.data.columns is None and mapping:
            changes["columns"] = Columns.model_validate(mapping)
        return settings.model_copy(
            update={
                "data": settings.data.model_copy(update=changes),
                "output": self._settings.runs_folder,
            }
        )

    def _source(self, run: PreparedRun) -> AdapterSource:
        row = self._row
        receipt = None if run.receipt is None else run.receipt.document
        return AdapterSource(
            job_id=row.id,
            project_id=row.project_id,
            base=row.model,
            source=run.settings.model,
            base_folder=run.model_folder,
            base_revision=base_revision(run.model_folder),
            kind=run.settings.adapter.kind,
            suffix=row.suffix,
            lineage={
                "training_file": self._files.lineage(row.training_file),
                "validation_file": self._files.lineage(row.validation_file),
                "evaluation_file": self._files.lineage(row.evaluation_file),
                "receipt": receipt,
                "settings": row.settings,
                "fingerprint": dict(run.plan.fingerprint),
                "code": {name: version(name) for name in ("everloop", "peft", "torch", "ray")},
            },
        )

    def _end(self, run: PreparedRun, report: RunReport) -> str:
        job_id = self._row.id
        records: list[Any] = []
        changes: dict[str, Any] = {"estimated_finish": None, "crashes": 0}
        adapter_id = None
        if self._shelf is not None:
            records = self._shelf.records(report.outcome.checkpoint)
            adapter_id = records[0].id
        if report.outcome.ending == "stopped":
            at = "" if adapter_id is None else f"; its adapter is {adapter_id}"
            return self._stopped(changes, *records, note=f" at a checkpoint{at}")
        results = self._results(run)
        gate = self._gate(adapter_id)
        records += [*results, *gate]
        done = "Succeeded" if adapter_id is None else f"Succeeded: {adapter_id}"
        records.append(job_event(job_id, f"{done}."))
        if gate:
            records.append(job_event(job_id, f"Queued the gate {gate[0].id} for {gate[0].alias}."))
        changes |= {
            "status": "succeeded",
            "wish": None,
            "finished_at": now(),
            "adapter_id": adapter_id,
            "trained_tokens": run.counts.trained_tokens * run.settings.epochs,
            "report": json.loads(told_paths(json.dumps(report.document), self._settings)),
            "result_files": [row.id for row in results],
            "gate_id": gate[0].id if gate else None,
        }
        self._attempt.write(changes, *records)
        return "succeeded"

    def _stopped(self, changes: dict[str, Any], *records: Any, note: str) -> str:
        pause_s = round(self._settings.training.resume_after_s)
        return self._attempt.stopped(changes, *records, note=note, pause_s=pause_s)

    def _results(self, run: PreparedRun) -> list[Any]:
        folder = run.settings.folder
        kept = [self._files.keep("step_metrics.csv", [metrics_csv(folder / "metrics.jsonl")])]
        for name in ("report.html", "receipt.json"):
            if (folder / name).is_file():
                text = told_paths((folder / name).read_text(encoding="utf-8"), self._settings)
                kept.append(self._files.keep(name, [text.encode()]))
        return kept

    def _gate(self, adapter_id: str | None) -> list[GateRun]:
        wanted: Mapping[str, Any] | None = self._row.gate
        if wanted is None or adapter_id is None:
            return []
        return [
            GateRun(
                id=new_id("gate"),
                status="queued",
                alias=wanted["alias"],
                adapter_id=adapter_id,
                evaluation_file=str(self._row.evaluation_file),
                settings=wanted["settings"],
                job_id=self._row.id,
                created_at=now(),
            )
        ]


class _Told(Terminal):
    """Says what a terminal would be told to the job's events too."""

    def __init__(self, reporter: Reporter) -> None:
        super().__init__()
        self._reporter = reporter

    def say(self, line: str) -> None:
        """Tell it both."""
        super().say(line)
        self._reporter.say(line)

    def show(self, news: News) -> None:
        """The reporter hears the news itself."""


@contextmanager
def _terminated(reporter: Reporter) -> Iterator[None]:
    """SIGTERM ends the process at a checkpoint: the machine or the cluster is about to go."""

    def handle(_number: int, _frame: FrameType | None) -> None:
        reporter.terminate()

    if threading.current_thread() is not threading.main_thread():
        yield
        return
    before = signal.signal(signal.SIGTERM, handle)
    try:
        yield
    finally:
        signal.signal(signal.SIGTERM, before)


def _code(error: EverloopError) -> str:
    """`PlanError` → `plan_error`."""
    name = type(error).__name__
    return "".join(f"_{c.lower()}" if c.isupper() else c for c in name).lstrip("_")
