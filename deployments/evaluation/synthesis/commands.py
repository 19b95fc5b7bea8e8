"""What `everloop eval synthesize` does."""

import json
from collections.abc import Sequence
from pathlib import Path
from typing import Final

from rich.console import Console
from rich.progress import BarColumn, MofNCompleteColumn, Progress, TextColumn, TimeElapsedColumn
from rich.table import Table

from cluster.client import connected, require_store
from cluster.errors import ApiError, SettingsError
from deployments.evaluation.synthesis.drafts import METHODS, Draft, Method, row_of
from deployments.evaluation.synthesis.passages import (
    in_turn,
    passages_of_store,
    search_documents,
)
from deployments.evaluation.synthesis.receipt import Receipt
from deployments.evaluation.synthesis.synthesis import synthesize_drafts
from deployments.evaluation.synthesis.writing import QuestionWriter

__all__ = ["synthesize"]

_NOTHING_LEFT: Final = 1


def synthesize(
    store: str,
    out: Path,
    *,
    count: int,
    methods: Sequence[str],
    model: str | None,
    seed: int,
    found_within: int,
    base_url: str | None,
    as_json: bool,
) -> int:
    """Write rows to `out` and what was done beside it; 1 where no row was left.

    Raises SettingsError for an unknown method, ApiError where the store has no passage.
    """
    chosen = _methods(methods)
    console = Console(stderr=True)
    with connected(base_url) as client:
        store_id = require_store(client, store).id
        sources = passages_of_store(client, store_id)
        if not sources:
            raise ApiError(
                f"The vector store {store} has no passage.",
                fix=f"`everloop ingest PATH --store {store}` puts documents into it.",
            )
        writer = None
        if "model" in chosen:
            name = model or next(iter(client.models.list())).id
            writer = QuestionWriter(client, name, seed)
        receipt = Receipt(store_id, count, seed, found_within, writer.model if writer else None)
        receipt.documents = len({source.file_id for source in sources})
        receipt.passages = len(sources)
        out.parent.mkdir(parents=True, exist_ok=True)
        columns = (TextColumn("questions"), BarColumn(), MofNCompleteColumn(), TimeElapsedColumn())
        with (
            out.open("w", encoding="utf-8") as file,
            Progress(*columns, console=console, transient=True) as bar,
        ):
            task = bar.add_task("", total=count)

            def keep(draft: Draft) -> None:
                file.write(json.dumps(row_of(draft, store_id), ensure_ascii=False) + "\n")
                file.flush()
                bar.advance(task)

            synthesize_drafts(
                in_turn(sources, seed),
                chosen,
                writer,
                lambda question: search_documents(client, store_id, question, found_within),
                receipt,
                keep,
            )
    beside = out.with_name(f"{out.name}.receipt.json")
    beside.write_text(json.dumps(receipt.document, indent=1), encoding="utf-8")
    if as_json:
        print(json.dumps(receipt.document, indent=2))
    else:
        _print(Console(), receipt, out, beside)
    return 0 if receipt.kept.total() else _NOTHING_LEFT


def _methods(given: Sequence[str]) -> tuple[Method, ...]:
    unknown = sorted(set(given) - set(METHODS))
    if unknown:
        raise SettingsError(
            f"--method {unknown[0]} is none; there are: {', '.join(METHODS)}.",
            fix="Leave it out for all of them.",
        )
    return tuple(method for method in METHODS if not given or method in given)


def _print(console: Console, receipt: Receipt, out: Path, beside: Path) -> None:
    kept = receipt.kept.total()
    console.print(
        f"{kept} synthetic rows of {receipt.wanted} wanted, of {receipt.passages} passages in "
        f"{receipt.documents} documents.",
        highlight=False,
    )
    table = Table("method", "drafted", "kept", "removed", box=None, pad_edge=False)
    for method, counts in receipt.document["by_method"].items():
        removed = ", ".join(f"{n} {name}" for name, n in counts["removed"].items())
        table.add_row(method, str(counts["drafted"]), str(counts["kept"]), removed or "-")
    console.print(table)
    if kept < receipt.wanted:
        console.print("There is no more to ask of these passages.", highlight=False)
    console.print(f"Written: {out}, {beside}", highlight=False, soft_wrap=True)
