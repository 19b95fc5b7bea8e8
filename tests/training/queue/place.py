"""A service's records, bytes and runs, where queued jobs run in this process."""

import json
import time
from collections.abc import Callable
from pathlib import Path
from typing import Any

import pytest
from sqlalchemy import select

from cluster.adapters import AdapterFiles, fetch_adapter
from cluster.database import Database
from cluster.ids import new_id
from cluster.records import Adapter, FineTuningJob, StoredFile
from cluster.settings import ModelSettings, Settings
from cluster.storage import ByteStore
from tests.training.queue.rows import add_job, claimed
from tests.training.tiny import chats
from training.progress import News, StepDone
from training.queue import jobs
from training.queue.ledger import Attempt
from training.queue.reporting import Reporter
from training.settings import TrainingSettings

__all__ = ["BASE", "ROWS", "Act", "Place", "answers_otherwise", "until"]

BASE = "tiny"
ROWS = "\n".join(json.dumps({"messages": chat.messages}) for chat in chats(40)).encode()
Act = Callable[[Reporter], None]


class Place:
    """Records, bytes and runs of one service."""

    def __init__(self, folder: Path, model: Path, patch: pytest.MonkeyPatch) -> None:
        self.settings = Settings(
            data_dir=folder,
            models=(ModelSettings(id=BASE, source=str(model)),),
        )
        self.database = Database(self.settings.database_url)
        self.database.migrate()
        self.store = ByteStore(self.settings.storage_url)
        self._model = model
        self._patch = patch
        self.reporter: Reporter | None = None
        """Of the latest attempt."""

    def file(self, data: bytes = ROWS, name: str = "rows.jsonl", **meta: Any) -> str:
        """Upload it; returns its id."""
        file_id = new_id("file")
        stored = self.store.put(f"proj_default/{file_id}", [data])
        with self.database.session() as session:
            session.add(
                StoredFile(
                    id=file_id,
                    filename=name,
                    purpose="fine-tune",
                    bytes=stored.size,
                    sha256=stored.sha256,
                    storage_key=f"proj_default/{file_id}",
                    meta=meta,
                )
            )
        return file_id

    def job(
        self, file: str | None = None, training: dict[str, Any] | None = None, **row: Any
    ) -> str:
        """Queue a job of 12 steps with a checkpoint every 4; returns its id."""
        tree = {
            "name": "job",
            "model": str(self._model),
            "data": {"train": "training", "validation_share": 0.2},
            "adapter": {"rank": 4},
            "batch": {"examples": 8, "max_tokens": 256, "row_tokens": 256},
            "optimizer": {"learning_rate": 1e-2},
            "epochs": 3,
            "checkpoints_kept": 5,
            "workers": {"min": 0, "max": 0, "threads": 1},
            **(training or {}),
        }
        job_id = add_job(self.database, model=BASE, training_file=file or self.file(), **row)
        settings = TrainingSettings.model_validate({**tree, "name": job_id})
        self.change(job_id, settings=settings.model_dump(mode="json"))
        return job_id

    def run(self, job_id: str, acts: dict[int, Act] | None = None) -> str:
        """Claim the job and run that attempt. `acts` happen at steps, in the training's thread."""

        place = self

        class Acting(Reporter):
            def __init__(self, attempt: Attempt, look: Callable[[], list[Any]]) -> None:
                super().__init__(attempt, look, turn_s=0.01)
                place.reporter = self

            def hear(self, news: News) -> None:
                super().hear(news)
                act = (acts or {}).get(news.step)
                if act is not None and isinstance(news, StepDone):
                    act(self)

        attempt = claimed(self.database, job_id).attempts
        with self._patch.context() as patch:
            patch.setattr(jobs, "Reporter", Acting)
            return jobs.run_queued_job(self.settings, job_id, attempt, lambda: None)

    def change(self, job_id: str, **values: Any) -> None:
        """Set columns of the job's row."""
        with self.database.session() as session:
            row = session.get_one(FineTuningJob, job_id)
            for name, value in values.items():
                setattr(row, name, value)

    def wishing(self, job_id: str, wish: str) -> Act:
        """Something to do at a step: wish, and wait until it is heard."""

        def act(reporter: Reporter) -> None:
            self.change(job_id, wish=wish)
            until(reporter.stopping)

        return act

    def losses(self, job_id: str) -> list[float]:
        """Of the steps of all attempts, in the order they were taken."""
        lines = (self.settings.runs_folder / job_id / "metrics.jsonl").read_text().splitlines()
        return [line["loss"] for line in map(json.loads, lines) if line["kind"] == "train"]

    def rows(self, kind: type[Any]) -> list[Any]:
        """Every row of a table, by id."""
        with self.database.session(read_only=True) as session:
            return list(session.scalars(select(kind).order_by(kind.id)))

    def adapter(self, adapter_id: str) -> Adapter:
        """Of the registry."""
        with self.database.session(read_only=True) as session:
            return session.get_one(Adapter, adapter_id)

    def fetched(self, adapter_id: str, folder: Path) -> Path:
        """The adapter's files, out of the store."""
        row = self.adapter(adapter_id)
        fetch_adapter(self.store, AdapterFiles.of_json(row.files), folder)
        return folder


def until(what: Callable[[], Any], timeout_s: float = 30) -> None:
    """Wait for `what` to be true; fails where that takes too long."""
    deadline = time.monotonic() + timeout_s
    while not what():
        assert time.monotonic() < deadline, "not in time"
        time.sleep(0.005)


def answers_otherwise(model: Path, adapter: Path) -> bool:
    """Whether the adapter loads on the model and changes what it says."""
    import torch
    from peft import PeftModel
    from transformers import AutoModelForCausalLM

    base = AutoModelForCausalLM.from_pretrained(model)
    ids = torch.arange(9)[None]
    before = base(ids).logits
    return not torch.allclose(
        before, PeftModel.from_pretrained(base, adapter)(ids).logits, atol=1e-3
    )
