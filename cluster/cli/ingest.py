"""`everloop ingest`."""

import json
import tempfile
from collections import Counter
from dataclasses import asdict
from pathlib import Path

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table
from rich.text import Text

from cluster.cli.documents import Document, collect, fetch
from cluster.cli.exits import FAILED, PARTIAL, USAGE
from cluster.cli.uploading import Outcome, put_documents
from cluster.client import find_store, openai_client, translated_errors
from cluster.errors import EverloopError
from cluster.settings import Settings, load_settings

__all__ = ["ingest_documents", "run_ingest"]


def run_ingest(what: list[str], store: str, base_url: str | None, *, as_json: bool) -> int:
    """Ingest and report. Exit code 1 when every document failed, 4 when some did."""
    settings = load_settings()
    progress_console = Console(stderr=True)
    store_id, outcomes, skipped = ingest_documents(
        what, store, base_url or settings.base_url, settings, progress_console
    )
    counts = Counter(outcome.status for outcome in outcomes)
    if as_json:
        report = {"store": store_id, "counts": counts, "skipped": skipped}
        files = [asdict(outcome) for outcome in outcomes]
        print(json.dumps(report | {"documents": files}, indent=2, ensure_ascii=False))
    else:
        _print_report(Console(), store, outcomes, skipped)
    if not outcomes:
        return USAGE
    if counts["failed"] == len(outcomes):
        return FAILED
    return PARTIAL if counts["failed"] else 0


def ingest_documents(
    what: list[str], store: str, base_url: str, settings: Settings, console: Console
) -> tuple[str, list[Outcome], list[str]]:
    """Put the documents into the store, making it when missing, with a progress bar.

    Returns the store's id, one outcome per document, and the files of folders left out.
    """
    found = collect(what)
    with (
        tempfile.TemporaryDirectory(prefix="everloop-") as folder,
        translated_errors(base_url),
        openai_client(base_url) as client,
    ):
        target = find_store(client, store) or client.vector_stores.create(name=store)
        documents, refused = _with_pages(found.documents, found.urls, Path(folder), settings)
        total = len(documents) + len(refused)
        with _bar(console) as bar:
            task = bar.add_task("uploading", total=total)

            def show(finished: int, stages: Counter[str]) -> None:
                where = " · ".join(f"{count} {stage}" for stage, count in sorted(stages.items()))
                bar.update(task, completed=finished + len(refused), description=where or "done")

            outcomes = put_documents(client, target.id, documents, show)
    return target.id, [*refused, *outcomes], found.skipped


def _with_pages(
    documents: list[Document], urls: list[str], folder: Path, settings: Settings
) -> tuple[list[Document], list[Outcome]]:
    fetched, refused = list(documents), []
    for url in urls:
        try:
            fetched.append(fetch(url, folder, settings.ingestion))
        except EverloopError as error:
            refused.append(Outcome(url, "failed", reason=str(error)))
    return fetched, refused


def _bar(console: Console) -> Progress:
    columns = [TextColumn("{task.description}"), BarColumn(), MofNCompleteColumn()]
    return Progress(*columns, TimeElapsedColumn(), console=console, transient=True)


def _print_report(
    console: Console, store: str, outcomes: list[Outcome], skipped: list[str]
) -> None:
    counts = Counter(outcome.status for outcome in outcomes)
    shown = ", ".join(f"{n} {status}" for status, n in sorted(counts.items())) or "nothing to do"
    console.print(Text(f"{store}: {shown}."))
    if skipped:
        console.print(Text(f"{len(skipped)} files of other types were left out."))
    failed = [outcome for outcome in outcomes if outcome.status == "failed"]
    if failed:
        table = Table("failed", "reason", box=None, pad_edge=False)
        for outcome in failed:
            table.add_row(Text(outcome.source), Text(outcome.reason))
        console.print(table)
