"""A prepared run, carried through: trained, exported and reported, wherever it was asked for."""

import json
import time
from collections.abc import Callable

from training.checkpoint import export_checkpoint
from training.in_process import train_in_process
from training.on_cluster import shortage, train_on_cluster
from training.preflight import PreparedRun
from training.progress import News, Outcome
from training.recording import Recorder
from training.report import RunReport
from training.report_page import write_page
from training.terminal import Terminal

__all__ = ["run_training"]


def run_training(
    run: PreparedRun,
    terminal: Terminal,
    stopping: Callable[[], bool] = lambda: False,
    hear: Callable[[News], None] = lambda _news: None,
) -> RunReport:
    """Train, export and report. Raises TrainingError; checkpoints written by then stand.

    `hear` is told what the terminal is told.
    """
    settings = run.settings
    started = time.monotonic()
    terminal.say(_plan(run))
    if run.receipt is not None:
        settings.folder.mkdir(parents=True, exist_ok=True)
        (settings.folder / "receipt.json").write_text(run.receipt.json, encoding="utf-8")
    if settings.workers.max and (lacking := shortage(run)) is not None:
        terminal.say(lacking)
    with Recorder(settings.folder) as recorder, terminal.progress(run.steps):
        report = RunReport(run)

        def tell(news: News) -> None:
            recorder.add(news)
            report.add(news)
            terminal.show(news)
            hear(news)

        train: Callable[..., Outcome] = (
            train_on_cluster if settings.workers.max else train_in_process
        )
        report.outcome = train(run, tell, stopping)
    target = settings.folder / ("model" if settings.adapter.kind == "full" else "adapter")
    export_checkpoint(
        report.outcome.checkpoint, target, base=settings.model, base_folder=run.model_folder
    )
    report.finish(target, time.monotonic() - started)
    path = settings.folder / "report.json"
    path.write_text(json.dumps(report.document, indent=1) + "\n")
    write_page(settings.folder, report.document)
    return report


def _plan(run: PreparedRun) -> str:
    counts, settings = run.counts, run.settings
    words = [] if run.receipt is None else [f"curated: {run.receipt.outcome}"]
    words += [
        f"{settings.name}: {len(run.train)} samples to train on, {len(run.validation)} to validate",
        f"{counts.tokens} tokens, {counts.trained_tokens} of them with loss",
        f"{run.steps} steps",
        f"{settings.adapter.kind} on {run.modules} modules",
    ]
    if counts.truncated:
        words.append(f"{counts.truncated} cut at {settings.batch.max_tokens} tokens")
    if counts.without_loss:
        words.append(f"{counts.without_loss} left out, having no token to train on")
    return "; ".join(words)
